// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who owns the PASIDs that user space allocates through a container.
 *
 * PASIDs are one resource of the whole system, and who asks for them is not
 * trusted. So each belongs to an owner, whose quota grows with the IOMMU
 * groups in its containers. They are freed, and handed to nobody, when the last
 * group of their container is detached, and when the owner is gone.
 *
 *   vfio_pasid_container  one for each container, embedded in the IOMMU backend's;
 *                         has a pool with the PASIDs allocated through it
 *   vfio_pasid_owner      an address space (mm), with the process that asked first;
 *                         containers belong to it
 *   vfio_pasid_mm         tells when the mm has no users any more
 *
 * A container that has a group and belongs to nobody becomes the caller's by an
 * allocation, and by nothing else. Current is the owner if it has the owner's mm,
 * or is a thread of the owner's process. After an exec of that process only the
 * latter is true: its next request puts the new mm in the place of the old one.
 * QEMU updates itself like that, and keeps its files. A process that shared the
 * old mm is nobody from then on.
 *
 * An owner is gone when its process is dead, which includes that tracers of its
 * threads have been told, and its mm has no users. The process could exec as long
 * as it lives, and whoever has the mm is the owner. There is
 * no order between the two: a wait queue of the pid tells of the first, an MMU
 * notifier of the second, and both do no more than queue the one work that looks
 * for owners that are gone. Nobody polls. To register the notifier takes
 * mmap_lock, which userspace can hold: an owner is set up with no other lock held,
 * before it is known whether it is needed.
 *
 * When a container loses a group, PASIDs that are beyond the owner's new quota
 * are freed, the container's own before others, newest first. Otherwise they would
 * multiply while one group is moved from process to process. A lowered parameter
 * only stops allocations.
 *
 * Locks, outermost first:
 *
 *   the backend's lock (vfio_iommu.lock) for some callers
 *   vfio_pasid_owner.lock   to allocate in its pools, to trim and to destroy them;
 *                           a container leaves its owner with it held. Held while
 *                           memory is allocated, or many PASIDs are freed; never
 *                           across access to user memory
 *   vfio_pasid_owners_lock  a spinlock, held for a few steps: who the owners are,
 *                           and what belongs to them
 *   pasid_lock of pasid_pool.c
 *
 * mmap_lock is taken with none of these held. The work, and who detaches a group,
 * wait for owner.lock. The mm's release and the wake-up of the pid wait for nothing:
 * the former comes from exit_mmap(), the latter with tasklist_lock held.
 *
 * References to an owner: one while it has containers, one for each request that is
 * being executed. The last one takes it off the list and the pid's wait queue, and
 * puts the vfio_pasid_mm, which SRCU frees later: its release may be running.
 */

#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include "pasid.h"
#include "pasid_owner.h"
#include "vfio.h"

/**
 * struct vfio_pasid_mm - an mm that owners have
 * @notifier: with one reference of each of these owners; holds the mm_struct, so
 *            nobody else's can have its address
 * @released: the mm has no users any more; becomes true once
 */
struct vfio_pasid_mm {
	struct mmu_notifier notifier;
	bool released;
};

static DEFINE_SPINLOCK(vfio_pasid_owners_lock);
/* Both under vfio_pasid_owners_lock */
static LIST_HEAD(vfio_pasid_owners);
static unsigned int vfio_pasids_per_group = 1000;

/* Of struct vfio_pasid_mm, also those that SRCU is still to free */
static atomic_t vfio_pasid_mms = ATOMIC_INIT(0);

static void vfio_pasid_reap(struct work_struct *work);
static DECLARE_WORK(vfio_pasid_reap_work, vfio_pasid_reap);

/* It may take its time: not in a queue that others flush */
static void vfio_pasid_queue_reap(void)
{
	queue_work(system_unbound_wq, &vfio_pasid_reap_work);
}

/* The ends of mm and process */

static struct vfio_pasid_mm *vfio_pasid_mm_of(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct vfio_pasid_mm, notifier);
}

static void vfio_pasid_mm_release(struct mmu_notifier *notifier,
				  struct mm_struct *mm)
{
	WRITE_ONCE(vfio_pasid_mm_of(notifier)->released, true);
	vfio_pasid_queue_reap();
}

static struct mmu_notifier *vfio_pasid_mm_alloc(struct mm_struct *mm)
{
	struct vfio_pasid_mm *new = kzalloc(sizeof(*new), VFIO_GFP_USER);

	if (!new)
		return ERR_PTR(-ENOMEM);
	atomic_inc(&vfio_pasid_mms);
	return &new->notifier;
}

static void vfio_pasid_mm_free(struct mmu_notifier *notifier)
{
	kfree(vfio_pasid_mm_of(notifier));
	if (atomic_dec_and_test(&vfio_pasid_mms))
		wake_up_var(&vfio_pasid_mms);
}

static const struct mmu_notifier_ops vfio_pasid_mm_ops = {
	.release = vfio_pasid_mm_release,
	.alloc_notifier = vfio_pasid_mm_alloc,
	.free_notifier = vfio_pasid_mm_free,
};

/* Current's, with a reference; ERR_PTR(-EINTR) or -ENOMEM */
static struct vfio_pasid_mm *vfio_pasid_mm_get(void)
{
	struct mmu_notifier *notifier;

	if (mmap_write_lock_killable(current->mm))
		return ERR_PTR(-EINTR);
	notifier = mmu_notifier_get_locked(&vfio_pasid_mm_ops, current->mm);
	mmap_write_unlock(current->mm);
	return IS_ERR(notifier) ? ERR_CAST(notifier) : vfio_pasid_mm_of(notifier);
}

/* Also if it is a thread that has ended, and a tracer hears of it: see the work */
static int vfio_pasid_exited(wait_queue_entry_t *wait, unsigned int mode,
			     int sync, void *key)
{
	vfio_pasid_queue_reap();
	return 0;
}

/* Owners */

static unsigned int vfio_pasid_quota(unsigned int groups)
{
	return min_t(u64, (u64)vfio_pasids_per_group * groups, PASID_NUMBER_MAX);
}

static void vfio_pasid_owner_set_groups(struct vfio_pasid_owner *owner,
					unsigned int groups)
{
	lockdep_assert_held(&vfio_pasid_owners_lock);
	owner->groups = groups;
	pasid_owner_set_quota(&owner->pasids, vfio_pasid_quota(groups));
}

/* For current, without containers */
static struct vfio_pasid_owner *vfio_pasid_owner_create(void)
{
	struct vfio_pasid_owner *owner;
	struct vfio_pasid_mm *mm;

	owner = kzalloc(sizeof(*owner), VFIO_GFP_USER);
	if (!owner)
		return ERR_PTR(-ENOMEM);

	mm = vfio_pasid_mm_get();
	if (IS_ERR(mm)) {
		kfree(owner);
		return ERR_CAST(mm);
	}

	kref_init(&owner->kref);
	mutex_init(&owner->lock);
	pasid_owner_init(&owner->pasids, 0);
	INIT_LIST_HEAD(&owner->entry);
	INIT_LIST_HEAD(&owner->containers);
	owner->mm = mm;
	owner->tgid = get_pid(task_tgid(current));
	init_waitqueue_func_entry(&owner->exited, vfio_pasid_exited);
	add_wait_queue(&owner->tgid->wait_pidfd, &owner->exited);
	return owner;
}

static void vfio_pasid_owner_free(struct kref *kref)
	__releases(&vfio_pasid_owners_lock)
{
	struct vfio_pasid_owner *owner =
		container_of(kref, struct vfio_pasid_owner, kref);

	list_del(&owner->entry);
	spin_unlock(&vfio_pasid_owners_lock);

	remove_wait_queue(&owner->tgid->wait_pidfd, &owner->exited);
	put_pid(owner->tgid);
	mmu_notifier_put(&owner->mm->notifier);
	pasid_owner_destroy(&owner->pasids);
	mutex_destroy(&owner->lock);
	kfree(owner);
}

/* The counterpart of vfio_pasid_owner_get() */
void vfio_pasid_owner_put(struct vfio_pasid_owner *owner)
{
	/* An owner in the list has references */
	kref_put_lock(&owner->kref, vfio_pasid_owner_free,
		      &vfio_pasid_owners_lock);
}

static bool vfio_pasid_owner_has_mm(struct vfio_pasid_owner *owner)
{
	lockdep_assert_held(&vfio_pasid_owners_lock);
	return owner->mm->notifier.mm == current->mm;
}

/* With another mm, current's process has executed a program meanwhile */
static bool vfio_pasid_owner_is_process(struct vfio_pasid_owner *owner)
{
	return owner->tgid == task_tgid(current);
}

static bool vfio_pasid_owner_gone(struct vfio_pasid_owner *owner)
{
	lockdep_assert_held(&vfio_pasid_owners_lock);
	return READ_ONCE(owner->mm->released) &&
	       thread_group_exited(owner->tgid);
}

/* The owner that current is. Before it asks again after an exec, by its process. */
static struct vfio_pasid_owner *vfio_pasid_owner_current(void)
{
	struct vfio_pasid_owner *owner, *before_exec = NULL;

	lockdep_assert_held(&vfio_pasid_owners_lock);
	list_for_each_entry(owner, &vfio_pasid_owners, entry) {
		if (vfio_pasid_owner_has_mm(owner))
			return owner;
		if (vfio_pasid_owner_is_process(owner))
			before_exec = owner;
	}
	return before_exec;
}

static int vfio_pasids_per_group_set(const char *val,
				     const struct kernel_param *kp)
{
	struct vfio_pasid_owner *owner;
	unsigned int value;
	int ret;

	ret = kstrtouint(val, 0, &value);
	if (ret)
		return ret;

	spin_lock(&vfio_pasid_owners_lock);
	WRITE_ONCE(vfio_pasids_per_group, value);
	list_for_each_entry(owner, &vfio_pasid_owners, entry)
		vfio_pasid_owner_set_groups(owner, owner->groups);
	spin_unlock(&vfio_pasid_owners_lock);
	return 0;
}

static int vfio_pasids_per_group_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%u\n", READ_ONCE(vfio_pasids_per_group));
}

/*
 * vfio_pasids_per_group_ops - Operations of the parameter pasids_per_group
 *
 * The parameter is the backend's, as that is the module that users know.
 */
const struct kernel_param_ops vfio_pasids_per_group_ops = {
	.set = vfio_pasids_per_group_set,
	.get = vfio_pasids_per_group_get,
};
EXPORT_SYMBOL_GPL(vfio_pasids_per_group_ops);

/* Containers and their owners */

static void vfio_pasid_join(struct vfio_pasid_container *pc,
			    struct vfio_pasid_owner *owner)
{
	lockdep_assert_held(&vfio_pasid_owners_lock);
	if (list_empty(&owner->containers))
		kref_get(&owner->kref);
	list_add(&pc->entry, &owner->containers);
	pasid_pool_init(&pc->pool, &owner->pasids);
	vfio_pasid_owner_set_groups(owner, owner->groups + pc->groups);
	WRITE_ONCE(pc->owner, owner);
}

/* The container's PASIDs are freed, and it belongs to nobody */
void vfio_pasid_leave(struct vfio_pasid_container *pc,
		      struct vfio_pasid_owner *owner)
{
	bool last;

	lockdep_assert_held(&owner->lock);
	pasid_pool_destroy(&pc->pool);

	spin_lock(&vfio_pasid_owners_lock);
	WRITE_ONCE(pc->owner, NULL);
	list_del(&pc->entry);
	vfio_pasid_owner_set_groups(owner, owner->groups - pc->groups);
	last = list_empty(&owner->containers);
	spin_unlock(&vfio_pasid_owners_lock);

	/* The caller has a reference of its own */
	if (last)
		vfio_pasid_owner_put(owner);
}

/* One that is gone, with a reference; or NULL */
static struct vfio_pasid_owner *vfio_pasid_find_gone(void)
{
	struct vfio_pasid_owner *owner, *gone = NULL;

	spin_lock(&vfio_pasid_owners_lock);
	list_for_each_entry(owner, &vfio_pasid_owners, entry) {
		if (!list_empty(&owner->containers) &&
		    vfio_pasid_owner_gone(owner))
			gone = owner;
	}
	if (gone)
		kref_get(&gone->kref);
	spin_unlock(&vfio_pasid_owners_lock);
	return gone;
}

/* Stays its owner's as long as the caller has owner->lock */
static struct vfio_pasid_container *
vfio_pasid_any_container(struct vfio_pasid_owner *owner)
{
	struct vfio_pasid_container *pc;

	lockdep_assert_held(&owner->lock);
	spin_lock(&vfio_pasid_owners_lock);
	pc = list_first_entry_or_null(&owner->containers,
				      struct vfio_pasid_container, entry);
	spin_unlock(&vfio_pasid_owners_lock);
	return pc;
}

static void vfio_pasid_reap(struct work_struct *work)
{
	struct vfio_pasid_container *pc;
	struct vfio_pasid_owner *owner;

	while ((owner = vfio_pasid_find_gone())) {
		mutex_lock(&owner->lock);
		while ((pc = vfio_pasid_any_container(owner)))
			vfio_pasid_leave(pc, owner);
		mutex_unlock(&owner->lock);
		vfio_pasid_owner_put(owner);
	}
}

/*
 * Make a container belong to an owner that vfio_pasid_owner_get() has found, unless
 * it does. Returns whether that changed anything, -EPERM if somebody else was
 * quicker, or -ENODEV. To undo it is vfio_pasid_leave(): as long as the caller has
 * owner->lock, nobody allocates in what the container adds to the quota.
 */
int vfio_pasid_claim(struct vfio_pasid_container *pc,
		     struct vfio_pasid_owner *owner)
{
	int ret = 0;

	lockdep_assert_held(&owner->lock);
	spin_lock(&vfio_pasid_owners_lock);
	if (!pc->groups) {
		ret = -ENODEV;
	} else if (!pc->owner) {
		vfio_pasid_join(pc, owner);
		ret = 1;
	} else if (pc->owner != owner) {
		ret = -EPERM;
	}
	spin_unlock(&vfio_pasid_owners_lock);
	return ret;
}

/*
 * Who current is for this container: its owner, or the one that it will belong to
 * by a claim. NULL if current is no owner yet; ERR_PTR(-ENODEV) or -EPERM.
 */
static struct vfio_pasid_owner *
vfio_pasid_owner_allowed(struct vfio_pasid_container *pc, bool claim)
{
	struct vfio_pasid_owner *owner = pc->owner;

	lockdep_assert_held(&vfio_pasid_owners_lock);
	if (!pc->groups)
		return ERR_PTR(-ENODEV);
	if (!owner)
		return claim ? vfio_pasid_owner_current() : ERR_PTR(-EPERM);
	if (vfio_pasid_owner_has_mm(owner) || vfio_pasid_owner_is_process(owner))
		return owner;
	return ERR_PTR(-EPERM);
}

/* Without @fresh, which has current's mm: ERR_PTR(-EAGAIN) if that is needed */
static struct vfio_pasid_owner *
vfio_pasid_owner_try_get(struct vfio_pasid_container *pc, bool claim,
			 struct vfio_pasid_owner *fresh)
{
	struct vfio_pasid_owner *owner;

	spin_lock(&vfio_pasid_owners_lock);
	owner = vfio_pasid_owner_allowed(pc, claim);
	if (IS_ERR(owner))
		goto out_unlock;

	if (!owner || !vfio_pasid_owner_has_mm(owner)) {
		if (!fresh) {
			owner = ERR_PTR(-EAGAIN);
			goto out_unlock;
		}
		if (owner) {
			swap(owner->mm, fresh->mm);
		} else {
			owner = fresh;
			list_add(&owner->entry, &vfio_pasid_owners);
		}
	}
	kref_get(&owner->kref);
out_unlock:
	spin_unlock(&vfio_pasid_owners_lock);
	return owner;
}

/**
 * vfio_pasid_owner_get - Find the owner that current is
 * @pc: container that the request is for, which has to be current's
 * @claim: the container may belong to nobody, for vfio_pasid_claim()
 *
 * Context: may sleep; takes mmap_lock, with no lock held that is taken inside of
 * that one.
 * Return: the owner, for vfio_pasid_owner_put(); ERR_PTR(-ENODEV), -EPERM, -EINTR
 * or -ENOMEM, as the uAPI header says.
 */
struct vfio_pasid_owner *
vfio_pasid_owner_get(struct vfio_pasid_container *pc, bool claim)
{
	struct vfio_pasid_owner *fresh, *owner;

	owner = vfio_pasid_owner_try_get(pc, claim, NULL);
	if (owner != ERR_PTR(-EAGAIN))
		return owner;

	fresh = vfio_pasid_owner_create();
	if (IS_ERR(fresh))
		return fresh;
	owner = vfio_pasid_owner_try_get(pc, claim, fresh);
	vfio_pasid_owner_put(fresh);
	return owner;
}

/**
 * vfio_pasid_container_init - Prepare a container without groups
 * @pc: embedded in the backend's structure
 */
void vfio_pasid_container_init(struct vfio_pasid_container *pc)
{
	pc->owner = NULL;
	pc->groups = 0;
}
EXPORT_SYMBOL_GPL(vfio_pasid_container_init);

/**
 * vfio_pasid_container_destroy - A container without groups goes away
 * @pc: container
 *
 * Context: no request is being executed.
 */
void vfio_pasid_container_destroy(struct vfio_pasid_container *pc)
{
	WARN_ON(pc->owner);
}
EXPORT_SYMBOL_GPL(vfio_pasid_container_destroy);

/**
 * vfio_pasid_attach_group - A group was attached to a container
 * @pc: container
 *
 * Context: any but interrupts; does not sleep.
 */
void vfio_pasid_attach_group(struct vfio_pasid_container *pc)
{
	spin_lock(&vfio_pasid_owners_lock);
	pc->groups++;
	if (pc->owner)
		vfio_pasid_owner_set_groups(pc->owner, pc->owner->groups + 1);
	spin_unlock(&vfio_pasid_owners_lock);
}
EXPORT_SYMBOL_GPL(vfio_pasid_attach_group);

/* With a reference; NULL if the container belongs to nobody */
static struct vfio_pasid_owner *
vfio_pasid_owner_of(struct vfio_pasid_container *pc)
{
	struct vfio_pasid_owner *owner;

	spin_lock(&vfio_pasid_owners_lock);
	owner = pc->owner;
	if (owner)
		kref_get(&owner->kref);
	spin_unlock(&vfio_pasid_owners_lock);
	return owner;
}

/* Only if the container belongs to @owner, which may be NULL */
static bool vfio_pasid_lose_group(struct vfio_pasid_container *pc,
				  struct vfio_pasid_owner *owner)
{
	bool same;

	spin_lock(&vfio_pasid_owners_lock);
	same = pc->owner == owner;
	if (same) {
		pc->groups--;
		if (owner)
			vfio_pasid_owner_set_groups(owner, owner->groups - 1);
	}
	spin_unlock(&vfio_pasid_owners_lock);
	return same;
}

/* False if the container has got another owner, or none, meanwhile */
static bool vfio_pasid_try_detach_group(struct vfio_pasid_container *pc)
{
	struct vfio_pasid_owner *owner = vfio_pasid_owner_of(pc);
	bool done;

	if (!owner)
		return vfio_pasid_lose_group(pc, NULL);

	mutex_lock(&owner->lock);
	done = vfio_pasid_lose_group(pc, owner);
	if (done) {
		pasid_pool_trim(&pc->pool);
		if (!pc->groups)
			vfio_pasid_leave(pc, owner);
	}
	mutex_unlock(&owner->lock);
	vfio_pasid_owner_put(owner);
	return done;
}

/**
 * vfio_pasid_detach_group - A group was detached from a container
 * @pc: container
 *
 * With the last group, all PASIDs of the container are freed, and it belongs
 * to nobody. PASIDs that are beyond the owner's quota now are freed, too: those
 * of this container first.
 *
 * Context: may sleep, for as long as it takes to free up to 2^20 PASIDs. The
 * caller serialises it with vfio_pasid_attach_group() for the same container.
 */
void vfio_pasid_detach_group(struct vfio_pasid_container *pc)
{
	while (!vfio_pasid_try_detach_group(pc))
		;
}
EXPORT_SYMBOL_GPL(vfio_pasid_detach_group);

/* The owner's; of a container of nobody, what current's next allocation will find */
void vfio_pasid_usage(struct vfio_pasid_container *pc, u32 *quota, u32 *used)
{
	struct vfio_pasid_owner *owner;
	unsigned int groups = 0;

	*used = 0;
	spin_lock(&vfio_pasid_owners_lock);
	owner = pc->owner ?: vfio_pasid_owner_current();
	if (owner) {
		pasid_owner_usage(&owner->pasids, quota, used);
		groups = owner->groups;
	}
	if (!pc->owner)
		*quota = vfio_pasid_quota(groups + pc->groups);
	spin_unlock(&vfio_pasid_owners_lock);
}

/**
 * vfio_pasid_show - Tell how many PASIDs a container has, and of its owner
 * @pc: container
 * @m: what an administrator reads
 *
 * Context: any but interrupts; waits for nobody.
 */
void vfio_pasid_show(struct vfio_pasid_container *pc, struct seq_file *m)
{
	unsigned int count = 0, used = 0, quota = 0;
	pid_t process = 0;

	spin_lock(&vfio_pasid_owners_lock);
	if (pc->owner) {
		count = pasid_pool_count(&pc->pool);
		pasid_owner_usage(&pc->owner->pasids, &quota, &used);
		process = pid_vnr(pc->owner->tgid);
	}
	spin_unlock(&vfio_pasid_owners_lock);

	seq_printf(m, "vfio-pasids:\t%u\n", count);
	seq_printf(m, "vfio-pasids-owner:\t%u of %u\n", used, quota);
	seq_printf(m, "vfio-pasids-process:\t%d\n", process);
}
EXPORT_SYMBOL_GPL(vfio_pasid_show);

/**
 * vfio_pasid_exit - The module goes
 *
 * Context: there is no container any more.
 */
void vfio_pasid_exit(void)
{
	/* It may have the last reference to an owner */
	flush_work(&vfio_pasid_reap_work);
	/* SRCU frees by a function of this module, on any CPU, with BH disabled */
	wait_var_event(&vfio_pasid_mms, !atomic_read(&vfio_pasid_mms));
	synchronize_rcu();
	/* The end of an mm may still be queueing the work */
	mmu_notifier_synchronize();
	cancel_work_sync(&vfio_pasid_reap_work);
}
