/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system's one space of PASID numbers, for pasid_pool.c only, which knows
 * nothing else about where numbers come from.
 *
 * Numbers of this file's own ioasid set carry a pointer, which pasid_space_find()
 * returns. The space keeps no reference to what it points to.
 */
#ifndef PASID_SPACE_H
#define PASID_SPACE_H

#include <linux/ioasid.h>

static DECLARE_IOASID_SET(pasid_space_set);

/* The pointer of a number; ERR_PTR(-ENOENT), or -EACCES if it is not of ours */
static inline void *pasid_space_find(u32 number)
{
	return ioasid_find(&pasid_space_set, number, NULL);
}

/* May be called from where sleeping is not allowed, but not from interrupts */
static inline void pasid_space_free(u32 number)
{
	ioasid_free(number);
}

/* The lowest number in the range; -ENOSPC or -ENOMEM. May sleep. */
static inline int pasid_space_alloc(u32 min, u32 max, void *private,
				    u32 *number)
{
	return ioasid_alloc_range(&pasid_space_set, min, max, private, number);
}

#endif
