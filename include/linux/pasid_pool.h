/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PASIDs with an owner: a quota for each, a list of those who use them, and a way
 * to take them all back. See Documentation/driver-api/ioasid.rst.
 */
#ifndef LINUX_PASID_POOL_H
#define LINUX_PASID_POOL_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#define PASID_NUMBER_MAX	((1U << 20) - 1)	/* by the PCIe specification */

struct pasid;

/**
 * struct pasid_owner - who PASIDs belong to
 * @pools: pasid_pool
 * @quota: allocations beyond it fail; may be below @count
 * @count: PASIDs owned
 *
 * All under pasid_lock.
 */
struct pasid_owner {
	struct list_head pools;
	unsigned int quota;
	unsigned int count;
};

/**
 * struct pasid_pool - PASIDs that are allocated and reclaimed together
 * @entry: in pasid_owner.pools
 * @owner: constant
 * @pasids: all of them, by number
 * @newest: the same, newest first
 * @count: how many
 *
 * All under pasid_lock.
 */
struct pasid_pool {
	struct list_head entry;
	struct pasid_owner *owner;
	struct rb_root pasids;
	struct list_head newest;
	unsigned int count;
};

/**
 * struct pasid_user - a consumer's use of a PASID
 * @entry: in pasid.users; under pasid_lock
 * @pasid: what it uses, from pasid_get() to pasid_put()
 * @freed: the owner has freed the PASID: stop using it and pasid_put() soon.
 *         Called with pasid_lock held, see pasid_get()
 */
struct pasid_user {
	struct list_head entry;
	struct pasid *pasid;
	void (*freed)(struct pasid_user *user);
};

void pasid_owner_init(struct pasid_owner *owner, unsigned int quota);
void pasid_owner_destroy(struct pasid_owner *owner);
void pasid_owner_set_quota(struct pasid_owner *owner, unsigned int quota);
void pasid_owner_usage(struct pasid_owner *owner, unsigned int *quota,
		       unsigned int *used);

void pasid_pool_init(struct pasid_pool *pool, struct pasid_owner *owner);
unsigned int pasid_pool_count(struct pasid_pool *pool);
void pasid_pool_trim(struct pasid_pool *pool);
void pasid_pool_destroy(struct pasid_pool *pool);

int pasid_alloc(struct pasid_pool *pool, u32 min, u32 max);
long pasid_free(struct pasid_owner *owner, u32 min, u32 max);

int pasid_get(struct pasid_owner *owner, u32 number, struct pasid_user *user);
void pasid_put(struct pasid_user *user);

#endif
