/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system's one space of PASID numbers, for ioasid_set.c only, which knows
 * nothing else about where numbers come from.
 *
 * Numbers of this file's own ioasid set carry a pointer, which pasid_space_find()
 * returns. The space keeps no reference to what it points to.
 */
#ifndef PASID_SPACE_H
#define PASID_SPACE_H

#include <linux/err.h>
#include <linux/ioasid.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/sched.h>

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

#ifdef ioasid_alloc_range

/* The lowest number in the range; -ENOSPC or -ENOMEM. May sleep. */
static inline int pasid_space_alloc(u32 min, u32 max, void *private,
				    u32 *number)
{
	return ioasid_alloc_range(&pasid_space_set, min, max, private, number);
}

#else

/*
 * An allocator that logs every failure and does not tell one from another. So
 * look for a number that is free, and ask for that one. What remains different:
 *
 * - A failure is logged when somebody else takes the number in between, or when
 *   memory runs out: it comes from the reserve for atomic allocations, and is
 *   not accounted to the user.
 * - Numbers are not the lowest but the next ones after the last allocation: the
 *   search would take longer and longer otherwise. It takes a look at each
 *   number of the range when all are in use.
 * - When numbers come from a hypervisor, one that is out of the range counts as
 *   no number at all.
 */
static DEFINE_MUTEX(pasid_space_mutex);
static u32 pasid_space_hint;	/* where to start; under pasid_space_mutex */

static inline bool pasid_space_unused(u32 number)
{
	return ioasid_find(NULL, number, NULL) == ERR_PTR(-ENOENT);
}

static inline int pasid_space_try(u32 min, u32 max, void *private, u32 *number)
{
	u32 n;

	for (n = min; n <= max; n++) {
		if (n % 1024 == 0)
			cond_resched();
		if (!pasid_space_unused(n))
			continue;

		*number = ioasid_alloc(&pasid_space_set, n, n, private);
		if (*number != INVALID_IOASID)
			return 0;
		if (pasid_space_unused(n))
			return -ENOMEM;
	}
	return -ENOSPC;
}

static inline int pasid_space_alloc(u32 min, u32 max, void *private,
				    u32 *number)
{
	u32 start;
	int ret;

	mutex_lock(&pasid_space_mutex);
	start = clamp(pasid_space_hint, min, max);
	ret = pasid_space_try(start, max, private, number);
	if (ret == -ENOSPC && start > min)
		ret = pasid_space_try(min, start - 1, private, number);
	if (!ret && (*number < min || *number > max)) {
		ioasid_free(*number);
		ret = -ENOSPC;
	}
	if (!ret)
		pasid_space_hint = *number + 1;
	mutex_unlock(&pasid_space_mutex);
	return ret;
}

#endif /* ioasid_alloc_range */

#endif
