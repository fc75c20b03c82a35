// SPDX-License-Identifier: GPL-2.0-only
/*
 * PASIDs with an owner.
 *
 * The number space gives a number to each caller. For callers that are not
 * trusted, the owner of each number has to be known, and their count limited.
 * All numbers of an owner have to come back. The objects:
 *
 *   pasid_owner  for example a process; has a quota
 *   pasid_pool   PASIDs of one owner that go together, for example those of a
 *                VFIO container
 *   pasid        one number, in one pool
 *   pasid_user   a consumer (an IOMMU driver, a device's driver, KVM) that uses
 *                a PASID; linked to it until the consumer lets go
 *
 * To free a PASID never fails and waits for nobody: it is gone for its owner at
 * once, its users are told, and the number returns to the space with the last of
 * them. The cost is that a consumer that does not let go keeps the number, and
 * the charge to the cgroup, for as long.
 *
 * A PASID is in one of three states:
 *
 *   new     has a number, but cannot be found; pool is NULL
 *   live    in its pool, counted by its owner, and found by its number
 *   freed   pool is NULL again; in no list, kept by its users
 *
 * Locks: pasid_lock protects all of owners and pools, pool, node, newest and
 * users of each PASID, and each pasid_user. pasid_user.freed() is called with it
 * held. Nothing is allocated or released with it held, and no hold is longer than
 * it takes to free PASID_BATCH of them: there may be a million PASIDs.
 *
 * A pool has its PASIDs in a tree that is made of themselves, and the number space
 * has them as they are. So a PASID is one piece of memory, and takes the same
 * wherever the numbers are.
 *
 * A struct pasid that is found by number may have been freed and taken for
 * another number at any time, but RCU keeps it a struct pasid. It is the right
 * one if, with pasid_lock held, it is live and has that number.
 */

#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/pasid_pool.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "pasid_cgroup.h"
#include "pasid_space.h"

#define CREATE_TRACE_POINTS
#include <trace/events/pasid_pool.h>

#define PASID_BATCH	64
/*
 * Without memory, in the system or in its memory cgroup, a caller gets an
 * error. No task is killed for it, and nothing is logged.
 */
#define PASID_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/**
 * struct pasid - one PASID
 * @data: in the number space; its id is constant while live
 * @pool: NULL unless live
 * @users: pasid_user; once freed, the number returns when there is none
 * @node: in pasid_pool.pasids
 * @newest: in pasid_pool.newest, then in a pasid_batch if there are no users
 * @cg: charged until the number returns; with a reference
 */
struct pasid {
	struct ioasid_data data;
	struct pasid_pool *pool;
	struct list_head users;
	struct rb_node node;
	struct list_head newest;
	struct misc_cg *cg;
};

/**
 * struct pasid_batch - PASIDs that were taken from their owner in one hold
 * @unused: those without users, to be released; pasid.newest
 * @count: how many, also those with users
 */
struct pasid_batch {
	struct list_head unused;
	unsigned int count;
};

static DEFINE_SPINLOCK(pasid_lock);

static struct kmem_cache *pasid_cache;

/* In unused memory, too, pool is NULL for those who have found it by number */
static void pasid_construct(void *memory)
{
	struct pasid *pasid = memory;

	pasid->pool = NULL;
}

static struct pasid *pasid_create(void)
{
	struct misc_cg *cg = pasid_cgroup_charge();
	struct pasid *pasid;

	if (IS_ERR(cg))
		return ERR_CAST(cg);

	pasid = kmem_cache_alloc(pasid_cache, PASID_GFP);
	if (!pasid) {
		pasid_cgroup_uncharge(cg);
		return ERR_PTR(-ENOMEM);
	}
	pasid->cg = cg;
	INIT_LIST_HEAD(&pasid->users);
	return pasid;
}

static void pasid_delete(struct pasid *pasid)
{
	pasid_cgroup_uncharge(pasid->cg);
	kmem_cache_free(pasid_cache, pasid);
}

/* Neither an owner nor a user has it any more */
static void pasid_release(struct pasid *pasid)
{
	trace_pasid_release(pasid->data.id);
	pasid_space_free(pasid->data.id);
	pasid_delete(pasid);
}

/* Freeing, in batches */

static void pasid_batch_init(struct pasid_batch *batch)
{
	INIT_LIST_HEAD(&batch->unused);
	batch->count = 0;
}

static bool pasid_batch_full(struct pasid_batch *batch)
{
	return batch->count == PASID_BATCH;
}

/* Take a live PASID from its owner, and tell its users */
static void pasid_take(struct pasid *pasid, struct pasid_batch *batch)
{
	struct pasid_pool *pool = pasid->pool;
	struct pasid_user *user;

	lockdep_assert_held(&pasid_lock);
	rb_erase(&pasid->node, &pool->pasids);
	list_del(&pasid->newest);
	pasid->pool = NULL;
	pool->count--;
	pool->owner->count--;
	batch->count++;

	if (list_empty(&pasid->users))
		list_add_tail(&pasid->newest, &batch->unused);
	list_for_each_entry(user, &pasid->users, entry)
		user->freed(user);
}

static void pasid_batch_release(struct pasid_batch *batch)
{
	struct pasid *pasid, *next;

	list_for_each_entry_safe(pasid, next, &batch->unused, newest)
		pasid_release(pasid);
	cond_resched();
}

/* Take the newest of a pool that its owner has beyond a limit, up to a batch */
static void pasid_pool_take(struct pasid_pool *pool, unsigned int limit,
			    struct pasid_batch *batch)
{
	lockdep_assert_held(&pasid_lock);
	while (!list_empty(&pool->newest) && pool->owner->count > limit &&
	       !pasid_batch_full(batch))
		pasid_take(list_first_entry(&pool->newest, struct pasid, newest),
			   batch);
}

/**
 * pasid_owner_init - Set up an owner that has no PASIDs
 * @owner: to be destroyed by pasid_owner_destroy()
 * @quota: how many PASIDs it may have
 */
void pasid_owner_init(struct pasid_owner *owner, unsigned int quota)
{
	INIT_LIST_HEAD(&owner->pools);
	owner->quota = quota;
	owner->count = 0;
}
EXPORT_SYMBOL_GPL(pasid_owner_init);

/**
 * pasid_owner_destroy - The counterpart of pasid_owner_init()
 * @owner: has no pools any more
 */
void pasid_owner_destroy(struct pasid_owner *owner)
{
	WARN_ON(!list_empty(&owner->pools) || owner->count);
}
EXPORT_SYMBOL_GPL(pasid_owner_destroy);

/**
 * pasid_owner_set_quota - Change how many PASIDs an owner may have
 * @owner: the owner
 * @quota: if it has more, it keeps them, but gets no new ones
 *
 * Context: any but interrupts; does not sleep.
 */
void pasid_owner_set_quota(struct pasid_owner *owner, unsigned int quota)
{
	spin_lock(&pasid_lock);
	owner->quota = quota;
	spin_unlock(&pasid_lock);
}
EXPORT_SYMBOL_GPL(pasid_owner_set_quota);

/**
 * pasid_owner_usage - How many PASIDs an owner has
 * @owner: the owner
 * @quota: out: how many it may have
 * @used: out: how many it has
 *
 * Context: any but interrupts; does not sleep.
 */
void pasid_owner_usage(struct pasid_owner *owner, unsigned int *quota,
		       unsigned int *used)
{
	spin_lock(&pasid_lock);
	*quota = owner->quota;
	*used = owner->count;
	spin_unlock(&pasid_lock);
}
EXPORT_SYMBOL_GPL(pasid_owner_usage);

/* Take what is beyond the quota, of @first before that of other pools */
static void pasid_owner_take(struct pasid_owner *owner,
			     struct pasid_pool *first, struct pasid_batch *batch)
{
	struct pasid_pool *pool;

	lockdep_assert_held(&pasid_lock);
	pasid_pool_take(first, owner->quota, batch);
	list_for_each_entry(pool, &owner->pools, entry)
		pasid_pool_take(pool, owner->quota, batch);
}

static unsigned int pasid_pool_trim_batch(struct pasid_pool *pool)
{
	struct pasid_batch batch;

	pasid_batch_init(&batch);
	spin_lock(&pasid_lock);
	pasid_owner_take(pool->owner, pool, &batch);
	spin_unlock(&pasid_lock);
	pasid_batch_release(&batch);
	return batch.count;
}

static unsigned int pasid_pool_free_batch(struct pasid_pool *pool)
{
	struct pasid_batch batch;

	pasid_batch_init(&batch);
	spin_lock(&pasid_lock);
	pasid_pool_take(pool, 0, &batch);
	spin_unlock(&pasid_lock);
	pasid_batch_release(&batch);
	return batch.count;
}

/* What @free_batch frees, until there is nothing left */
static void pasid_reclaim(struct pasid_pool *pool,
			  unsigned int (*free_batch)(struct pasid_pool *pool))
{
	unsigned long count = 0;
	unsigned int freed;

	do {
		freed = free_batch(pool);
		count += freed;
	} while (freed);

	if (count)
		trace_pasid_reclaim(pool->owner, count);
}

/**
 * pasid_pool_init - Set up a pool without PASIDs
 * @pool: to be destroyed by pasid_pool_destroy()
 * @owner: its owner, which has to outlive it
 *
 * Context: any but interrupts; does not sleep.
 */
void pasid_pool_init(struct pasid_pool *pool, struct pasid_owner *owner)
{
	pool->owner = owner;
	pool->pasids = RB_ROOT;
	INIT_LIST_HEAD(&pool->newest);
	pool->count = 0;
	spin_lock(&pasid_lock);
	list_add_tail(&pool->entry, &owner->pools);
	spin_unlock(&pasid_lock);
}
EXPORT_SYMBOL_GPL(pasid_pool_init);

/**
 * pasid_pool_count - How many PASIDs a pool has
 * @pool: the pool
 *
 * Context: any but interrupts; does not sleep.
 * Return: their number.
 */
unsigned int pasid_pool_count(struct pasid_pool *pool)
{
	unsigned int count;

	spin_lock(&pasid_lock);
	count = pool->count;
	spin_unlock(&pasid_lock);
	return count;
}
EXPORT_SYMBOL_GPL(pasid_pool_count);

/**
 * pasid_pool_trim - Free the PASIDs that an owner has beyond its quota
 * @pool: loses its newest first; then, if that is not enough, others of its
 *        owner lose their newest, pool by pool
 *
 * Context: may sleep. The caller serialises it with pasid_alloc() and
 * pasid_pool_destroy() for the same owner.
 */
void pasid_pool_trim(struct pasid_pool *pool)
{
	pasid_reclaim(pool, pasid_pool_trim_batch);
}
EXPORT_SYMBOL_GPL(pasid_pool_trim);

/**
 * pasid_pool_destroy - The counterpart of pasid_pool_init()
 * @pool: its PASIDs are freed
 *
 * Context: may sleep. The caller serialises it with pasid_alloc() and
 * pasid_pool_trim() for the same owner.
 */
void pasid_pool_destroy(struct pasid_pool *pool)
{
	pasid_reclaim(pool, pasid_pool_free_batch);
	spin_lock(&pasid_lock);
	list_del(&pool->entry);
	spin_unlock(&pasid_lock);
}
EXPORT_SYMBOL_GPL(pasid_pool_destroy);

/* A live PASID; ERR_PTR(-EACCES) if the kernel or somebody else has it */
static struct pasid *pasid_find(struct pasid_owner *owner, u32 number)
{
	struct pasid *pasid = pasid_space_find(number);

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "a PASID may go away");
	lockdep_assert_held(&pasid_lock);
	if (IS_ERR(pasid))
		return pasid;
	if (!pasid->pool || pasid->data.id != number)
		return ERR_PTR(-ENOENT);
	if (pasid->pool->owner != owner)
		return ERR_PTR(-EACCES);
	return pasid;
}

/* Allocating */

static bool pasid_owner_full(struct pasid_owner *owner)
{
	bool full;

	spin_lock(&pasid_lock);
	full = owner->count >= owner->quota;
	spin_unlock(&pasid_lock);
	return full;
}

static bool pasid_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct pasid, node)->data.id <
	       rb_entry(b, struct pasid, node)->data.id;
}

static void pasid_publish(struct pasid_pool *pool, struct pasid *pasid)
{
	spin_lock(&pasid_lock);
	pasid->pool = pool;
	rb_add(&pasid->node, &pool->pasids, pasid_less);
	list_add(&pasid->newest, &pool->newest);
	pool->count++;
	pool->owner->count++;
	spin_unlock(&pasid_lock);
}

static int pasid_pool_grow(struct pasid_pool *pool, u32 min, u32 max)
{
	struct pasid *pasid;
	u32 number;
	int ret;

	if (pasid_owner_full(pool->owner))
		return -EDQUOT;

	pasid = pasid_create();
	if (IS_ERR(pasid))
		return PTR_ERR(pasid);

	ret = pasid_space_alloc(&pasid->data, min, max, pasid);
	if (ret) {
		pasid_delete(pasid);
		return ret;
	}
	/* Once it is live, the owner may free it at any time */
	number = pasid->data.id;
	pasid_publish(pool, pasid);
	return number;
}

/**
 * pasid_alloc - Allocate a PASID
 * @pool: belongs to the owner who gets it
 * @min: lowest number, inclusive; at least 1
 * @max: highest number, inclusive; at most PASID_NUMBER_MAX
 *
 * The memory is charged to the memory cgroup of the caller, and the PASID to
 * its misc cgroup, until the number is free again.
 *
 * Context: may sleep. The caller serialises it with other calls for the same
 * owner, of this function, pasid_pool_trim() and pasid_pool_destroy().
 * Return: the number; -EDQUOT if the quota or a limit of the cgroup does not
 * allow one more, -ENOSPC if all numbers in the range are in use, -ENOMEM,
 * -EINVAL if it is not a range. A failure changes nothing.
 */
int pasid_alloc(struct pasid_pool *pool, u32 min, u32 max)
{
	int ret;

	might_sleep();
	if (!min || min > max || max > PASID_NUMBER_MAX)
		return -EINVAL;

	ret = pasid_pool_grow(pool, min, max);
	trace_pasid_alloc(pool->owner, min, max, ret);
	return ret;
}
EXPORT_SYMBOL_GPL(pasid_alloc);

/* Freeing by number */

/* By its number, however many pools there are. Returns as pasid_free() does. */
static long pasid_free_one(struct pasid_owner *owner, u32 number)
{
	struct pasid_batch batch;
	struct pasid *pasid;

	pasid_batch_init(&batch);
	rcu_read_lock();
	spin_lock(&pasid_lock);
	pasid = pasid_find(owner, number);
	if (!IS_ERR(pasid))
		pasid_take(pasid, &batch);
	spin_unlock(&pasid_lock);
	rcu_read_unlock();
	pasid_batch_release(&batch);
	return IS_ERR(pasid) ? PTR_ERR(pasid) : 1;
}

/* The lowest of a pool from @min on */
static struct pasid *pasid_pool_find(struct pasid_pool *pool, u32 min)
{
	struct rb_node *node = pool->pasids.rb_node;
	struct pasid *pasid, *found = NULL;

	lockdep_assert_held(&pasid_lock);
	while (node) {
		pasid = rb_entry(node, struct pasid, node);
		if (pasid->data.id >= min) {
			found = pasid;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

static void pasid_owner_take_range(struct pasid_owner *owner, u32 min, u32 max,
				   struct pasid_batch *batch)
{
	struct pasid_pool *pool;
	struct pasid *pasid;

	lockdep_assert_held(&pasid_lock);
	list_for_each_entry(pool, &owner->pools, entry) {
		while (!pasid_batch_full(batch)) {
			pasid = pasid_pool_find(pool, min);
			if (!pasid || pasid->data.id > max)
				break;
			pasid_take(pasid, batch);
		}
	}
}

static long pasid_free_range(struct pasid_owner *owner, u32 min, u32 max)
{
	struct pasid_batch batch;
	long count = 0;

	do {
		pasid_batch_init(&batch);
		spin_lock(&pasid_lock);
		pasid_owner_take_range(owner, min, max, &batch);
		spin_unlock(&pasid_lock);
		pasid_batch_release(&batch);
		count += batch.count;
		/* Others may allocate meanwhile: it has to end nevertheless */
	} while (pasid_batch_full(&batch) && count < PASID_NUMBER_MAX);
	return count ?: -ENOENT;
}

/**
 * pasid_free - Free the PASIDs in a range
 * @owner: whose they are; others are left alone
 * @min: lowest number, inclusive
 * @max: highest number, inclusive
 *
 * Their users are told, and the numbers are out of use until the last of these
 * lets go. The quota has room again when this returns.
 *
 * Context: may sleep.
 * Return: how many; -ENOENT if none; -EACCES if @min is @max and somebody else
 * owns it.
 */
long pasid_free(struct pasid_owner *owner, u32 min, u32 max)
{
	long ret = min == max ? pasid_free_one(owner, min) :
				pasid_free_range(owner, min, max);

	trace_pasid_free(owner, min, max, ret);
	return ret;
}
EXPORT_SYMBOL_GPL(pasid_free);

/* For consumers */

/**
 * pasid_get - Use a PASID of an owner
 * @owner: who has to own it
 * @number: the PASID
 * @user: of the consumer; its freed() is set
 *
 * freed() is called once, when the owner has freed the PASID, which may happen at
 * any time, even before this returns: the consumer has to be able to find what
 * it needs by then. It is called with pasid_lock held, so it must not sleep nor
 * call a function of this file: it marks what has to stop, and queues work. The
 * number cannot be allocated again before pasid_put().
 *
 * Context: any but interrupts; does not sleep.
 * Return: 0, and @user is to be given to pasid_put(); -ENOENT if nobody owns the
 * PASID, -EACCES if somebody else does.
 */
int pasid_get(struct pasid_owner *owner, u32 number, struct pasid_user *user)
{
	struct pasid *pasid;

	rcu_read_lock();
	spin_lock(&pasid_lock);
	pasid = pasid_find(owner, number);
	if (!IS_ERR(pasid)) {
		user->pasid = pasid;
		list_add(&user->entry, &pasid->users);
	}
	spin_unlock(&pasid_lock);
	rcu_read_unlock();
	return PTR_ERR_OR_ZERO(pasid);
}
EXPORT_SYMBOL_GPL(pasid_get);

/**
 * pasid_put - Let go of a PASID
 * @user: from pasid_get(); its freed() is not called any more, and has returned
 *
 * If the owner has freed the PASID and this was its last user, the number is in
 * the space again on return.
 *
 * Context: any but interrupts, and not from freed(); does not sleep.
 */
void pasid_put(struct pasid_user *user)
{
	struct pasid *pasid = user->pasid;
	bool last;

	spin_lock(&pasid_lock);
	list_del(&user->entry);
	last = !pasid->pool && list_empty(&pasid->users);
	spin_unlock(&pasid_lock);

	if (last)
		pasid_release(pasid);
}
EXPORT_SYMBOL_GPL(pasid_put);

static int __init pasid_init(void)
{
	pasid_cache = kmem_cache_create("pasid", sizeof(struct pasid), 0,
					SLAB_ACCOUNT | SLAB_TYPESAFE_BY_RCU,
					pasid_construct);
	if (!pasid_cache)
		return -ENOMEM;

	pasid_cgroup_set_capacity(PASID_NUMBER_MAX + 1);
	return 0;
}

static void __exit pasid_exit(void)
{
	pasid_cgroup_set_capacity(0);
	/* Warns of PASIDs that somebody has left behind */
	kmem_cache_destroy(pasid_cache);
}

/* Before the drivers that use it, when all are built in */
subsys_initcall(pasid_init);
module_exit(pasid_exit);

MODULE_DESCRIPTION("PASIDs with an owner and a quota");
MODULE_LICENSE("GPL");
