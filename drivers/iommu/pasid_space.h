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

/*
 * The lowest number in the range, as data->id; -ENOSPC or -ENOMEM. May sleep. RCU
 * keeps @data such memory, also after pasid_space_free().
 */
static inline int pasid_space_alloc(struct ioasid_data *data, u32 min, u32 max,
				    void *private)
{
	return ioasid_insert(data, &pasid_space_set, min, max, private);
}

#endif
