// SPDX-License-Identifier: GPL-2.0-only
/* A container whose owner dies, and one that sees what has become of its PASIDs. */
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "type1.h"
#include "type1_pair.h"
#include "type1_pasid.h"
#include "type1_vtest.h"

#define LAST	((1U << 20) - 1)

void t1_pair_open(struct t1_pair *pair)
{
	t1_container_open(&pair->c);
	t1_container_open(&pair->other);
	t1_vtest_open(&pair->dev, &pair->c, t1_vtest_find(0));
	t1_vtest_open(&pair->other_dev, &pair->other, t1_vtest_find(1));
}

void t1_pair_close(struct t1_pair *pair)
{
	t1_vtest_close(&pair->dev);
	t1_container_close(&pair->c);
	t1_vtest_close(&pair->other_dev);
	t1_container_close(&pair->other);
}

void t1_pair_alloc(struct t1_pair *pair)
{
	for (int i = T1_PAIR_FIRST; i <= T1_PAIR_LAST; i++)
		t1_pasid_alloc(&pair->c, i, i);
}

/* In a process that had nothing to do with the container */
static void claim_afresh(struct t1_container *c)
{
	T1_ASSERT(__t1_pasid_free(c, 1, LAST) == -EPERM);
	T1_ASSERT(t1_pasid_alloc_soon(c, 9, 9) == 9);
	T1_ASSERT(t1_pasid_info(c).used == 1);
	T1_ASSERT(t1_pasid_info(c).quota == t1_pasids_per_group());
	T1_ASSERT(__t1_pasid_free(c, 1, LAST) == 1);
	T1_ASSERT(__t1_pasid_alloc(c, 9, 9) == 9);
}

static bool is_claimed_afresh(struct t1_container *c)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		claim_afresh(c);
		_exit(0);
	}
	T1_ASSERT(waitpid(pid, &status, 0) == pid);
	return !status;
}

/* The second time it is the death of that process which is no different. */
const char *t1_pair_not_back(struct t1_pair *pair)
{
	static char what[64];
	unsigned int i;
	long left;
	int ret;

	for (i = 0; i < 2; i++) {
		left = t1_pasids_left(&pair->c);
		if (left) {
			snprintf(what, sizeof(what), "%ld PASIDs do not come back", left);
			return what;
		}
		if (!is_claimed_afresh(&pair->c))
			return "the container is not as new";
	}
	for (i = T1_PAIR_FIRST; i <= T1_PAIR_LAST; i++) {
		ret = t1_pasid_alloc_soon(&pair->other, i, i);
		if (ret != (int)i) {
			snprintf(what, sizeof(what), "ALLOC of %u elsewhere returns %d", i, ret);
			return what;
		}
	}
	return "";
}

const char *t1_pair_not_owned(struct t1_pair *pair)
{
	if (__t1_pasid_alloc(&pair->c, 1, LAST) != -EPERM)
		return "ALLOC of a stranger is not refused";
	if (__t1_pasid_free(&pair->c, 1, LAST) != -EPERM)
		return "FREE of a stranger is not refused";
	if (__t1_pasid_alloc(&pair->other, T1_PAIR_FIRST, T1_PAIR_LAST) != -ENOSPC)
		return "PASIDs have come back";
	return "";
}
