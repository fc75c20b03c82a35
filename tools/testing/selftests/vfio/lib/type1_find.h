/* SPDX-License-Identifier: GPL-2.0-only */
/* The devices that the tests may use */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_FIND_H
#define SELFTESTS_VFIO_LIB_TYPE1_FIND_H

#include <stdbool.h>

#include "type1.h"

enum t1_kind {
	T1_EDU,		/* a DMA engine */
	T1_IVSHMEM,	/* BAR 2 is RAM */
	T1_NVME,	/* FLR, bus reset; BAR 2 is RAM with cmb_size_mb= */
	T1_E1000E,	/* power management, bus reset */
	T1_IGB,		/* FLR, virtual functions */
	T1_TESTDEV,	/* BAR 2 is as large as one likes, with nothing behind it */
	T1_KINDS
};

/*
 * Address of the @nth device of a kind that is bound to vfio-pci: from the
 * environment (VFIO_TEST_EDU='0000:00:10.0 ...'), or by its PCI ID.
 */
const char *t1_find(enum t1_kind kind, unsigned int nth);
/* The @nth whose group has @functions of its kind. */
const char *t1_find_multi(enum t1_kind kind, unsigned int functions, unsigned int nth);
/* What to type to get one. */
const char *t1_find_hint(enum t1_kind kind);
int t1_group_of(const char *bdf);
/* The same by a device's directory in sysfs, and whether the caller may open one */
int t1_group_at(const char *dir);
bool t1_group_usable(int group);

/* In a FIXTURE_SETUP: the address, or a SKIP of the test */
#define t1_require(kind, nth) ({					\
	enum t1_kind __kind = (kind);					\
	const char *__bdf = t1_find(__kind, nth);			\
									\
	if (!__bdf)							\
		T1_SKIP("%s", t1_find_hint(__kind));			\
	__bdf;								\
})

#endif
