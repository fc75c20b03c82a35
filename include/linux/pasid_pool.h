/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PASIDs with an owner: a quota for each, references by those who use them, and
 * a way to take them all back. See Documentation/driver-api/ioasid.rst.
 */
#ifndef LINUX_PASID_POOL_H
#define LINUX_PASID_POOL_H

#include <linux/list.h>
#include <linux/notifier.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#define PASID_NUMBER_MAX	((1U << 20) - 1)	/* by the PCIe specification */

struct pasid;

/**
 * struct pasid_owner - who PASIDs belong to
 * @pools: pasid_pool
 * @token: names the owner to consumers, which compare it and nothing else
 * @quota: allocations beyond it fail; may be below @count
 * @count: PASIDs owned or being allocated
 * @live: PASIDs owned, which is what a lower quota takes from
 *
 * All under pasid_lock.
 */
struct pasid_owner {
	struct list_head pools;
	const void *token;
	unsigned int quota;
	unsigned int count;
	unsigned int live;
};

/**
 * struct pasid_pool - PASIDs that are allocated, handed over and reclaimed together
 * @entry: in pasid_owner.pools
 * @owner: changes by pasid_pool_move()
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
 * struct pasid_event - what a notifier block is told
 * @pasid: pasid_number() tells which; it may be told of before pasid_get() has
 *         returned it
 * @token: the owner's, who may be another one than at pasid_get()
 */
struct pasid_event {
	struct pasid *pasid;
	const void *token;
};

/* The owner has freed it. Stop using it and pasid_put() it soon. */
#define PASID_FREED	1

void pasid_owner_init(struct pasid_owner *owner, const void *token,
		      unsigned int quota);
void pasid_owner_destroy(struct pasid_owner *owner);
void pasid_owner_set_quota(struct pasid_owner *owner, unsigned int quota);
void pasid_owner_set_token(struct pasid_owner *owner, const void *token);
void pasid_owner_usage(struct pasid_owner *owner, unsigned int *quota,
		       unsigned int *used);
void pasid_owner_trim(struct pasid_owner *owner);

void pasid_pool_init(struct pasid_pool *pool, struct pasid_owner *owner);
unsigned int pasid_pool_count(struct pasid_pool *pool);
int pasid_pool_move(struct pasid_pool *pool, struct pasid_owner *owner,
		    unsigned int quota);
void pasid_pool_reclaim(struct pasid_pool *pool);
void pasid_pool_destroy(struct pasid_pool *pool);

int pasid_alloc(struct pasid_pool *pool, u32 min, u32 max, u64 *seq);
void pasid_alloc_undo(struct pasid_pool *pool, u32 number, u64 seq);
long pasid_free(struct pasid_owner *owner, u32 min, u32 max);

struct pasid *pasid_get(struct pasid_owner *owner, u32 number);
void pasid_put(struct pasid *pasid);
void pasid_put_sync(struct pasid *pasid);
u32 pasid_number(const struct pasid *pasid);
int pasid_register_notifier(struct notifier_block *nb);
int pasid_unregister_notifier(struct notifier_block *nb);
void pasid_flush(void);

#endif
