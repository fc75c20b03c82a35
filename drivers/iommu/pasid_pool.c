// SPDX-License-Identifier: GPL-2.0-only
/*
 * PASIDs with an owner.
 *
 * The number space gives a number to each caller. For callers that are not
 * trusted, the owner of each number has to be known, and their count limited.
 * All numbers of an owner have to come back. The objects:
 *
 *   pasid_owner  for example the address space of a process; has a quota
 *   pasid_pool   PASIDs that come and go together, for example those of a VFIO
 *                container; has one owner at a time
 *   pasid        one number, in one pool
 *
 * The owner has one reference to each of its PASIDs, and every consumer (an
 * IOMMU driver, a device's driver, KVM) has one to each that it uses. To free a
 * PASID never fails and waits for nobody: it is gone for its owner at once,
 * consumers are told by a notifier, and the number returns to the space with
 * the last reference. The cost is that a consumer that does not let go keeps
 * the number, and the charge to the cgroup, for as long.
 *
 * A PASID is in one of three states:
 *
 *   new     has a number, but cannot be found; pool is NULL
 *   live    in its pool, counted by its owner, and found by its number
 *   freed   pool is NULL again; in no list, kept by consumers' references
 *
 * Locks: pasid_lock protects all of owners and pools, and pool, node, newest and
 * seq of each PASID. Nothing is allocated, released or notified with it held,
 * and no hold is longer than it takes to free PASID_BATCH of them and to look at
 * each pool of their owner: there may be a million PASIDs.
 *
 * A pool has its PASIDs in a tree that is made of themselves. It takes the same
 * memory for each, wherever the numbers are, and cannot fail to grow.
 *
 * A struct pasid that is found by number may have been freed and taken for
 * another number at any time, but RCU keeps it a struct pasid. It is the right
 * one if, with pasid_lock held, it is live and has that number.
 */

#include <linux/kernel.h>
#include <linux/pasid_pool.h>
#include <linux/llist.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

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
 * @number: constant while live
 * @users: one for the owner until it frees the PASID, and one for each consumer
 * @pool: NULL unless live
 * @node: in pasid_pool.pasids
 * @newest: in pasid_pool.newest, then in a pasid_batch
 * @dead: after the last reference, in pasid_dead
 * @seq: grows with each allocation
 * @cg: charged until the number returns; with a reference
 */
struct pasid {
	u32 number;
	refcount_t users;
	struct pasid_pool *pool;
	struct rb_node node;
	union {
		struct list_head newest;
		struct llist_node dead;
	};
	u64 seq;
	struct misc_cg *cg;
};

/**
 * struct pasid_batch - PASIDs that were taken from their owner in one hold
 * @list: pasid.newest
 * @token: of the owner at that time, who may be gone before consumers are told
 * @count: how many
 */
struct pasid_batch {
	struct list_head list;
	const void *token;
	unsigned int count;
};

static DEFINE_SPINLOCK(pasid_lock);
static u64 pasid_seq;		/* of the newest; under pasid_lock */

static ATOMIC_NOTIFIER_HEAD(pasid_notifiers);

static void pasid_release_dead(struct work_struct *work);
static LLIST_HEAD(pasid_dead);
static DECLARE_WORK(pasid_release_work, pasid_release_dead);

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
	refcount_set(&pasid->users, 1);
	return pasid;
}

static void pasid_delete(struct pasid *pasid)
{
	pasid_cgroup_uncharge(pasid->cg);
	kmem_cache_free(pasid_cache, pasid);
}

/* Nobody refers to it any more. Not from interrupts. */
static void pasid_release(struct pasid *pasid)
{
	trace_pasid_release(pasid->number);
	pasid_space_free(pasid->number);
	pasid_delete(pasid);
}

static void pasid_release_dead(struct work_struct *work)
{
	struct llist_node *dead = llist_del_all(&pasid_dead);
	struct pasid *pasid, *next;

	llist_for_each_entry_safe(pasid, next, dead, dead) {
		pasid_release(pasid);
		cond_resched();
	}
}

/* Freeing, in batches */

static void pasid_batch_init(struct pasid_batch *batch)
{
	INIT_LIST_HEAD(&batch->list);
	batch->token = NULL;
	batch->count = 0;
}

static bool pasid_batch_full(struct pasid_batch *batch)
{
	return batch->count == PASID_BATCH;
}

/* Take a live PASID, and the reference that its owner had */
static void pasid_take(struct pasid *pasid, struct pasid_batch *batch)
{
	struct pasid_pool *pool = pasid->pool;

	lockdep_assert_held(&pasid_lock);
	rb_erase(&pasid->node, &pool->pasids);
	list_move_tail(&pasid->newest, &batch->list);
	pasid->pool = NULL;
	pool->count--;
	pool->owner->live--;
	pool->owner->count--;
	batch->token = pool->owner->token;
	batch->count++;
}

/* Tell consumers, if there are any. Nobody can become one any more. */
static void pasid_notify(struct pasid *pasid, const void *token)
{
	struct pasid_event event = { .pasid = pasid, .token = token };

	if (refcount_read(&pasid->users) > 1)
		atomic_notifier_call_chain(&pasid_notifiers, PASID_FREED,
					   &event);
}

static void pasid_batch_release(struct pasid_batch *batch)
{
	struct pasid *pasid, *next;

	list_for_each_entry_safe(pasid, next, &batch->list, newest) {
		list_del(&pasid->newest);
		pasid_notify(pasid, batch->token);
		/* The owner's reference */
		pasid_put_sync(pasid);
	}
	cond_resched();
}

/* Owners */

/**
 * pasid_owner_init - Set up an owner that has no PASIDs
 * @owner: to be destroyed by pasid_owner_destroy()
 * @token: what consumers know it by
 * @quota: how many PASIDs it may have
 */
void pasid_owner_init(struct pasid_owner *owner, const void *token,
		      unsigned int quota)
{
	INIT_LIST_HEAD(&owner->pools);
	owner->token = token;
	owner->quota = quota;
	owner->count = 0;
	owner->live = 0;
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
 * Context: any but interrupts.
 */
void pasid_owner_set_quota(struct pasid_owner *owner, unsigned int quota)
{
	spin_lock(&pasid_lock);
	owner->quota = quota;
	spin_unlock(&pasid_lock);
}
EXPORT_SYMBOL_GPL(pasid_owner_set_quota);

/**
 * pasid_owner_set_token - Change what consumers know an owner by
 * @owner: the owner
 * @token: for what they are told from now on
 *
 * Context: any but interrupts.
 */
void pasid_owner_set_token(struct pasid_owner *owner, const void *token)
{
	spin_lock(&pasid_lock);
	WRITE_ONCE(owner->token, token);
	spin_unlock(&pasid_lock);
}
EXPORT_SYMBOL_GPL(pasid_owner_set_token);

/**
 * pasid_owner_usage - How many PASIDs an owner has
 * @owner: the owner
 * @quota: out: how many it may have
 * @used: out: how many it has, including those that are being allocated
 *
 * Context: any but interrupts.
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

/* The newest PASID of a pool; 0 is older than all */
static u64 pasid_pool_newest(struct pasid_pool *pool)
{
	struct pasid *pasid = list_first_entry_or_null(&pool->newest,
						       struct pasid, newest);

	return pasid ? pasid->seq : 0;
}

/* The pool with the newest PASID; @older is the newest one of all other pools */
static struct pasid_pool *pasid_owner_newest_pool(struct pasid_owner *owner,
						  u64 *older)
{
	struct pasid_pool *pool, *found = NULL;
	u64 seq, newest = 0;

	lockdep_assert_held(&pasid_lock);
	*older = 0;
	list_for_each_entry(pool, &owner->pools, entry) {
		seq = pasid_pool_newest(pool);
		if (seq > newest) {
			*older = newest;
			newest = seq;
			found = pool;
		} else {
			*older = max(*older, seq);
		}
	}
	return found;
}

/* Take what is beyond the quota and in one pool, up to a batch of it */
static void pasid_owner_take_newest(struct pasid_owner *owner,
				    struct pasid_batch *batch)
{
	struct pasid_pool *pool;
	u64 older;

	lockdep_assert_held(&pasid_lock);
	pool = pasid_owner_newest_pool(owner, &older);
	if (!pool)
		return;

	while (owner->live > owner->quota && !pasid_batch_full(batch) &&
	       pasid_pool_newest(pool) > older)
		pasid_take(list_first_entry(&pool->newest, struct pasid, newest),
			   batch);
}

/* Take what is in the pool, up to a batch of it */
static void pasid_pool_take(struct pasid_pool *pool, struct pasid_batch *batch)
{
	lockdep_assert_held(&pasid_lock);
	while (!list_empty(&pool->newest) && !pasid_batch_full(batch))
		pasid_take(list_first_entry(&pool->newest, struct pasid, newest),
			   batch);
}

/* All that is in @pool, or without one what is beyond the owner's quota */
static void pasid_free_batches(struct pasid_owner *owner,
			       struct pasid_pool *pool)
{
	struct pasid_batch batch;
	unsigned long count = 0;

	do {
		pasid_batch_init(&batch);
		spin_lock(&pasid_lock);
		if (pool)
			pasid_pool_take(pool, &batch);
		else
			pasid_owner_take_newest(owner, &batch);
		spin_unlock(&pasid_lock);
		pasid_batch_release(&batch);
		count += batch.count;
	} while (batch.count);

	if (count)
		trace_pasid_reclaim(READ_ONCE(owner->token), count);
}

/**
 * pasid_owner_trim - Free the PASIDs that an owner has beyond its quota
 * @owner: loses the newest first
 *
 * Context: may sleep.
 */
void pasid_owner_trim(struct pasid_owner *owner)
{
	pasid_free_batches(owner, NULL);
}
EXPORT_SYMBOL_GPL(pasid_owner_trim);

/* Pools */

/**
 * pasid_pool_init - Set up a pool without PASIDs
 * @pool: to be destroyed by pasid_pool_destroy()
 * @owner: its owner, which has to outlive it
 *
 * Context: any but interrupts.
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
 * pasid_pool_move - Give a pool and its share of quota to another owner
 * @pool: the pool
 * @owner: the new owner
 * @quota: what the new owner may have from then on
 *
 * Consumers keep their references and are not told. What they are told later
 * on has the new owner's token. The old owner's quota stays as it is.
 *
 * Context: any but interrupts. The caller serialises it with pasid_alloc(),
 * pasid_pool_reclaim() and pasid_pool_destroy() of the same pool, and with
 * pasid_owner_set_quota() of @owner.
 * Return: 0, or -EDQUOT and nothing has changed, if the PASIDs do not fit into
 * @quota.
 */
int pasid_pool_move(struct pasid_pool *pool, struct pasid_owner *owner,
		    unsigned int quota)
{
	struct pasid_owner *old;
	int ret = -EDQUOT;

	spin_lock(&pasid_lock);
	old = pool->owner;
	if (pool->count && old != owner && owner->live + pool->count > quota)
		goto out_unlock;

	old->count -= pool->count;
	old->live -= pool->count;
	owner->count += pool->count;
	owner->live += pool->count;
	owner->quota = quota;
	pool->owner = owner;
	list_move_tail(&pool->entry, &owner->pools);
	ret = 0;
out_unlock:
	spin_unlock(&pasid_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(pasid_pool_move);

/**
 * pasid_pool_count - How many PASIDs a pool has
 * @pool: the pool
 *
 * Context: any but interrupts.
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
 * pasid_pool_reclaim - Free all PASIDs of a pool
 * @pool: is empty afterwards and can be used again
 *
 * Context: may sleep. The caller serialises it with pasid_alloc() and
 * pasid_pool_move() of the same pool.
 */
void pasid_pool_reclaim(struct pasid_pool *pool)
{
	pasid_free_batches(pool->owner, pool);
}
EXPORT_SYMBOL_GPL(pasid_pool_reclaim);

/**
 * pasid_pool_destroy - The counterpart of pasid_pool_init()
 * @pool: its PASIDs are freed
 *
 * Context: may sleep. The caller serialises it with pasid_alloc() and
 * pasid_pool_move() of the same pool.
 */
void pasid_pool_destroy(struct pasid_pool *pool)
{
	pasid_pool_reclaim(pool);
	spin_lock(&pasid_lock);
	list_del(&pool->entry);
	spin_unlock(&pasid_lock);
}
EXPORT_SYMBOL_GPL(pasid_pool_destroy);

/* A live PASID; ERR_PTR(-EACCES) if the kernel has it for a use of its own */
static struct pasid *pasid_find(u32 number)
{
	struct pasid *pasid = pasid_space_find(number);

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "a PASID may go away");
	lockdep_assert_held(&pasid_lock);
	if (IS_ERR(pasid))
		return pasid;
	if (!pasid->pool || pasid->number != number)
		return ERR_PTR(-ENOENT);
	return pasid;
}

/* Allocating */

static int pasid_charge(struct pasid_owner *owner)
{
	int ret = -EDQUOT;

	spin_lock(&pasid_lock);
	if (owner->count < owner->quota) {
		owner->count++;
		ret = 0;
	}
	spin_unlock(&pasid_lock);
	return ret;
}

static void pasid_uncharge(struct pasid_owner *owner)
{
	spin_lock(&pasid_lock);
	owner->count--;
	spin_unlock(&pasid_lock);
}

static bool pasid_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct pasid, node)->number <
	       rb_entry(b, struct pasid, node)->number;
}

/* Make it live. Fails only if the quota has become smaller since the charge. */
static int pasid_publish(struct pasid_pool *pool, struct pasid *pasid,
			 u64 *seq)
{
	struct pasid_owner *owner = pool->owner;
	int ret = -EDQUOT;

	spin_lock(&pasid_lock);
	/* A trim could not see this one, which is the newest */
	if (owner->live < owner->quota) {
		owner->live++;
		pasid->pool = pool;
		pasid->seq = ++pasid_seq;
		if (seq)
			*seq = pasid->seq;
		rb_add(&pasid->node, &pool->pasids, pasid_less);
		list_add(&pasid->newest, &pool->newest);
		pool->count++;
		ret = 0;
	}
	spin_unlock(&pasid_lock);
	return ret;
}

/* Returns the number: once it is live, the owner may free it at any time */
static int pasid_insert(struct pasid_pool *pool, struct pasid *pasid, u32 min,
			u32 max, u64 *seq)
{
	u32 number;
	int ret;

	ret = pasid_space_alloc(min, max, pasid, &pasid->number);
	if (ret)
		return ret;

	number = pasid->number;
	ret = pasid_publish(pool, pasid, seq);
	if (ret) {
		pasid_space_free(number);
		return ret;
	}
	return number;
}

/* In a quota that has room for it */
static int pasid_alloc_charged(struct pasid_pool *pool, u32 min, u32 max,
			       u64 *seq)
{
	struct pasid *pasid = pasid_create();
	int ret;

	if (IS_ERR(pasid))
		return PTR_ERR(pasid);

	ret = pasid_insert(pool, pasid, min, max, seq);
	if (ret < 0)
		pasid_delete(pasid);
	return ret;
}

/**
 * pasid_alloc - Allocate a PASID
 * @pool: belongs to the owner who gets it
 * @min: lowest number, inclusive; at least 1
 * @max: highest number, inclusive; at most PASID_NUMBER_MAX
 * @seq: out: for pasid_alloc_undo(); or NULL
 *
 * The memory is charged to the memory cgroup of the caller, and the PASID to
 * its misc cgroup, until the number is free again.
 *
 * Context: may sleep. The caller serialises it with other calls for the same
 * pool, of this function, pasid_pool_move(), pasid_pool_reclaim() and
 * pasid_pool_destroy().
 * Return: the number; -EDQUOT if the quota or a limit of the cgroup does not
 * allow one more, -ENOSPC if all numbers in the range are in use, -ENOMEM,
 * -EINVAL if it is not a range. A failure changes nothing.
 */
int pasid_alloc(struct pasid_pool *pool, u32 min, u32 max, u64 *seq)
{
	struct pasid_owner *owner = pool->owner;
	int ret;

	might_sleep();
	if (!min || min > max || max > PASID_NUMBER_MAX)
		return -EINVAL;

	ret = pasid_charge(owner);
	if (!ret) {
		ret = pasid_alloc_charged(pool, min, max, seq);
		if (ret < 0)
			pasid_uncharge(owner);
	}
	trace_pasid_alloc(READ_ONCE(owner->token), min, max, ret);
	return ret;
}
EXPORT_SYMBOL_GPL(pasid_alloc);

/**
 * pasid_alloc_undo - Free a PASID, if it is still the one that was allocated
 * @pool: where it was allocated
 * @number: what pasid_alloc() returned
 * @seq: what it stored
 *
 * Unlike pasid_free(), this leaves a PASID alone that was freed meanwhile, and
 * its number allocated once more.
 *
 * Context: may sleep.
 */
void pasid_alloc_undo(struct pasid_pool *pool, u32 number, u64 seq)
{
	struct pasid_batch batch;
	struct pasid *pasid;

	pasid_batch_init(&batch);
	rcu_read_lock();
	spin_lock(&pasid_lock);
	pasid = pasid_find(number);
	if (!IS_ERR(pasid) && pasid->pool == pool && pasid->seq == seq)
		pasid_take(pasid, &batch);
	spin_unlock(&pasid_lock);
	rcu_read_unlock();
	pasid_batch_release(&batch);
}
EXPORT_SYMBOL_GPL(pasid_alloc_undo);

/* Freeing by number */

/* By its number, however many pools there are. Returns as pasid_free() does. */
static long pasid_free_one(struct pasid_owner *owner, u32 number)
{
	struct pasid_batch batch;
	struct pasid *pasid;
	long ret = 1;

	pasid_batch_init(&batch);
	rcu_read_lock();
	spin_lock(&pasid_lock);
	pasid = pasid_find(number);
	if (IS_ERR(pasid))
		ret = PTR_ERR(pasid);
	else if (pasid->pool->owner != owner)
		ret = -EACCES;
	else
		pasid_take(pasid, &batch);
	spin_unlock(&pasid_lock);
	rcu_read_unlock();
	pasid_batch_release(&batch);
	return ret;
}

/* The lowest of a pool from @min on */
static struct pasid *pasid_pool_find(struct pasid_pool *pool, u32 min)
{
	struct rb_node *node = pool->pasids.rb_node;
	struct pasid *pasid, *found = NULL;

	lockdep_assert_held(&pasid_lock);
	while (node) {
		pasid = rb_entry(node, struct pasid, node);
		if (pasid->number >= min) {
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

	list_for_each_entry(pool, &owner->pools, entry) {
		while (!pasid_batch_full(batch)) {
			pasid = pasid_pool_find(pool, min);
			if (!pasid || pasid->number > max)
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
 * Consumers are told, and the numbers are out of use until the last of them
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

	trace_pasid_free(READ_ONCE(owner->token), min, max, ret);
	return ret;
}
EXPORT_SYMBOL_GPL(pasid_free);

/* For consumers */

/**
 * pasid_get - Get a reference to a PASID of an owner
 * @owner: who has to own it
 * @number: the PASID
 *
 * The consumer needs a notifier block that finds out what to stop when the
 * owner frees the PASID, which may happen at any time. See
 * pasid_register_notifier().
 *
 * Context: any but interrupts.
 * Return: the PASID, for pasid_put(); ERR_PTR(-ENOENT) if nobody owns it,
 * ERR_PTR(-EACCES) if somebody else does.
 */
struct pasid *pasid_get(struct pasid_owner *owner, u32 number)
{
	struct pasid *pasid;

	rcu_read_lock();
	spin_lock(&pasid_lock);
	pasid = pasid_find(number);
	if (!IS_ERR(pasid)) {
		if (pasid->pool->owner == owner)
			refcount_inc(&pasid->users);
		else
			pasid = ERR_PTR(-EACCES);
	}
	spin_unlock(&pasid_lock);
	rcu_read_unlock();
	return pasid;
}
EXPORT_SYMBOL_GPL(pasid_get);

/**
 * pasid_put - Let go of a reference
 * @pasid: from pasid_get()
 *
 * If it was the last one, a worker returns the number to the space soon.
 *
 * Context: any, also interrupts.
 */
void pasid_put(struct pasid *pasid)
{
	if (!refcount_dec_and_test(&pasid->users))
		return;

	llist_add(&pasid->dead, &pasid_dead);
	/*
	 * Also if others are in the list: they may not have come to this line
	 * yet, and pasid_flush() would find nothing to wait for.
	 */
	queue_work(system_unbound_wq, &pasid_release_work);
}
EXPORT_SYMBOL_GPL(pasid_put);

/**
 * pasid_put_sync - Let go of a reference, with effect at once
 * @pasid: from pasid_get()
 *
 * If it was the last one, the number is in the space again on return.
 *
 * Context: process context; does not sleep.
 */
void pasid_put_sync(struct pasid *pasid)
{
	if (refcount_dec_and_test(&pasid->users))
		pasid_release(pasid);
}
EXPORT_SYMBOL_GPL(pasid_put_sync);

/**
 * pasid_number - The number of a PASID
 * @pasid: the caller has a reference, or is called as a notifier
 *
 * Context: any.
 * Return: the number.
 */
u32 pasid_number(const struct pasid *pasid)
{
	return pasid->number;
}
EXPORT_SYMBOL_GPL(pasid_number);

/**
 * pasid_register_notifier - Be told when owners free PASIDs
 * @nb: called with PASID_FREED and a pasid_event, once for each PASID that an
 *      owner frees while somebody has a reference to it
 *
 * A PASID is told of before its number can be allocated again, and cannot be
 * got any more by then. A consumer calls pasid_get() and stores the PASID
 * under one lock, which its notifier takes to look for that PASID: then either
 * pasid_get() fails or the notifier finds it. The notifier may call pasid_put(),
 * but neither sleep nor allocate or free PASIDs.
 *
 * Context: any but interrupts.
 * Return: 0 or -EEXIST.
 */
int pasid_register_notifier(struct notifier_block *nb)
{
	return atomic_notifier_chain_register(&pasid_notifiers, nb);
}
EXPORT_SYMBOL_GPL(pasid_register_notifier);

/**
 * pasid_unregister_notifier - The counterpart of pasid_register_notifier()
 * @nb: is not called any more when this returns
 *
 * The caller has let go of all references: nobody would tell it to do so.
 *
 * Context: may sleep.
 * Return: 0, or -ENOENT if it was not registered.
 */
int pasid_unregister_notifier(struct notifier_block *nb)
{
	return atomic_notifier_chain_unregister(&pasid_notifiers, nb);
}
EXPORT_SYMBOL_GPL(pasid_unregister_notifier);

/**
 * pasid_flush - Wait until released numbers are free
 *
 * All numbers are in the space again whose last reference was dropped by a
 * pasid_put() that returned before this call.
 *
 * Context: may sleep.
 */
void pasid_flush(void)
{
	flush_work(&pasid_release_work);
}
EXPORT_SYMBOL_GPL(pasid_flush);

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
	pasid_flush();
	pasid_cgroup_set_capacity(0);
	/* Warns of PASIDs that somebody has left behind */
	kmem_cache_destroy(pasid_cache);
}

/* Before the drivers that use it, when all are built in */
subsys_initcall(pasid_init);
module_exit(pasid_exit);

MODULE_DESCRIPTION("PASIDs with an owner and a quota");
MODULE_LICENSE("GPL");
