/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A container whose owner dies, and one of this process, which has all files of the
 * first as well. A device in each can use PASIDs.
 */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_PAIR_H
#define SELFTESTS_VFIO_LIB_TYPE1_PAIR_H

#include "type1.h"
#include "type1_vtest.h"

struct t1_pair {
	struct t1_container c, other;
	struct t1_vtest dev, other_dev;
};

#define t1_require_pair() do {						\
	if (!t1_vtest_find(1))						\
		T1_SKIP("%s", T1_VTEST_HINT);				\
} while (0)

#define T1_PAIR_FIRST	5
#define T1_PAIR_LAST	7

void t1_pair_open(struct t1_pair *pair);
void t1_pair_close(struct t1_pair *pair);
/* Become the owner of the first, with some PASIDs of it. */
void t1_pair_alloc(struct t1_pair *pair);
/*
 * When the owner is gone: that its PASIDs are free, the container anybody's, and nothing
 * but time was needed; before: that neither is. Both return what is wrong, or "".
 */
const char *t1_pair_not_back(struct t1_pair *pair);
const char *t1_pair_not_owned(struct t1_pair *pair);

#endif
