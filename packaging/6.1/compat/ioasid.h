/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ioasid_insert() for a kernel without it; Kbuild includes this in pasid_pool.c.
 *
 * Such a kernel has an allocator that logs every failure and does not tell one from
 * another. So look for a number that is free, and ask for that one. What remains
 * different:
 *
 * - A failure is logged when somebody else takes the number in between, or when memory
 *   runs out: it comes from the reserve for atomic allocations, and is not accounted to
 *   the user.
 * - Numbers are not the lowest but the next ones after the last allocation: the search
 *   would take longer and longer otherwise. It takes a look at each number of the range
 *   when all are in use.
 * - Each number takes the allocator's memory and the caller's.
 * - When numbers come from a hypervisor, one that is out of the range counts as no
 *   number at all.
 */
#ifndef COMPAT_IOASID_H
#define COMPAT_IOASID_H

#include <linux/err.h>
#include <linux/ioasid.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/sched.h>

struct ioasid_data {
	ioasid_t id;
};

static DEFINE_MUTEX(ioasid_range_mutex);
static ioasid_t ioasid_range_hint;	/* where to start; under ioasid_range_mutex */

static inline bool ioasid_unused(ioasid_t number)
{
	return ioasid_find(NULL, number, NULL) == ERR_PTR(-ENOENT);
}

static inline int ioasid_range_try(struct ioasid_set *set, ioasid_t min, ioasid_t max,
				   void *private, ioasid_t *number)
{
	ioasid_t n;

	for (n = min; n <= max; n++) {
		if (n % 1024 == 0)
			cond_resched();
		if (!ioasid_unused(n))
			continue;

		*number = ioasid_alloc(set, n, n, private);
		if (*number != INVALID_IOASID)
			return 0;
		if (ioasid_unused(n))
			return -ENOMEM;
	}
	return -ENOSPC;
}

static inline int ioasid_insert(struct ioasid_data *data, struct ioasid_set *set,
				ioasid_t min, ioasid_t max, void *private)
{
	ioasid_t start;
	int ret;

	mutex_lock(&ioasid_range_mutex);
	start = clamp(ioasid_range_hint, min, max);
	ret = ioasid_range_try(set, start, max, private, &data->id);
	if (ret == -ENOSPC && start > min)
		ret = ioasid_range_try(set, min, start - 1, private, &data->id);
	if (!ret && (data->id < min || data->id > max)) {
		ioasid_free(data->id);
		ret = -ENOSPC;
	}
	if (!ret)
		ioasid_range_hint = data->id + 1;
	mutex_unlock(&ioasid_range_mutex);
	return ret;
}

#endif
