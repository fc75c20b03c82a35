// SPDX-License-Identifier: GPL-2.0-only
/*
 * PASIDs that user space allocates through a container.
 *
 * PASIDs are one resource of the whole system, and who asks for them here is
 * not trusted. So each belongs to an address space (mm), whose quota grows with
 * the IOMMU groups that it has in its containers, and all of a container's are
 * taken back when its last group is detached, whatever the reason.
 *
 *   vfio_pasid_container  one for each container, embedded in the IOMMU backend's;
 *                         has a pool with the PASIDs allocated through it
 *   vfio_pasid_owner      one for each mm that any container belongs to
 *
 * A container belongs to the mm that first asks through it. When an exec has
 * replaced that mm in the same process, the new one takes the old one's place,
 * with all containers: QEMU updates itself like that, and keeps its files. When
 * the mm is gone, the next process that asks takes the container over, with its
 * PASIDs and the share of the quota that its groups bring.
 *
 * When groups leave an owner, by detach or by a takeover, it loses what it has
 * beyond the new quota, newest first. Otherwise PASIDs would multiply while one
 * group is moved from process to process. For the same reason a quota never
 * grows for a call that may still fail. A lowered parameter only stops
 * allocations.
 *
 * Locks, outermost first:
 *
 *   the backend's lock         (vfio_iommu.lock) for some callers
 *   vfio_pasid_container.lock  never held across access to user memory
 *   vfio_pasid_owners_lock     held for a few steps, whatever users do
 *
 * and pasid_lock of pasid_pool.c inside of all.
 */

#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "pasid.h"
#include "vfio.h"

/**
 * struct vfio_pasid_owner - an mm that containers belong to
 * @entry: in vfio_pasid_owners
 * @pasids: the containers' pools belong to it; has its own lock
 * @mm: whose; only its address and its count of users matter. To compare the
 *      address with current's it can be read without the lock.
 * @tgid: process that @mm was first seen in; constant
 * @containers: that belong to it; freed with the last one
 * @groups: attached to them, which the quota is computed from
 *
 * vfio_pasid_owners_lock protects all but @pasids and @tgid, and is held by who
 * changes vfio_pasid_container.owner.
 */
struct vfio_pasid_owner {
	struct list_head entry;
	struct pasid_owner pasids;
	struct mm_struct *mm;
	struct pid *tgid;
	unsigned int containers;
	unsigned int groups;
};

static DEFINE_MUTEX(vfio_pasid_owners_lock);
/* Both under vfio_pasid_owners_lock */
static LIST_HEAD(vfio_pasid_owners);
static unsigned int vfio_pasids_per_group = 1000;

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

static struct vfio_pasid_owner *vfio_pasid_owner_find(struct mm_struct *mm)
{
	struct vfio_pasid_owner *owner;

	lockdep_assert_held(&vfio_pasid_owners_lock);
	list_for_each_entry(owner, &vfio_pasid_owners, entry) {
		if (owner->mm == mm)
			return owner;
	}
	return NULL;
}

/* For current's mm, without containers, and not in the list yet */
static struct vfio_pasid_owner *vfio_pasid_owner_create(void)
{
	struct vfio_pasid_owner *owner;

	owner = kzalloc(sizeof(*owner), VFIO_GFP_USER);
	if (!owner)
		return NULL;

	owner->mm = current->mm;
	mmgrab(owner->mm);
	owner->tgid = get_pid(task_tgid(current));
	pasid_owner_init(&owner->pasids, owner->mm, 0);
	return owner;
}

static void vfio_pasid_owner_free(struct vfio_pasid_owner *owner)
{
	pasid_owner_destroy(&owner->pasids);
	put_pid(owner->tgid);
	mmdrop(owner->mm);
	kfree(owner);
}

/* The new mm of the same process takes the place of the one before its exec */
static void vfio_pasid_owner_succeed(struct vfio_pasid_owner *owner)
{
	struct mm_struct *old = owner->mm;

	lockdep_assert_held(&vfio_pasid_owners_lock);
	mmgrab(current->mm);
	WRITE_ONCE(owner->mm, current->mm);
	pasid_owner_set_token(&owner->pasids, current->mm);
	mmdrop(old);
}

/* Groups are no longer there for an owner, and neither are their PASIDs */
static void vfio_pasid_owner_lose(struct vfio_pasid_owner *owner,
				  unsigned int groups)
{
	mutex_lock(&vfio_pasid_owners_lock);
	vfio_pasid_owner_set_groups(owner, owner->groups - groups);
	mutex_unlock(&vfio_pasid_owners_lock);

	pasid_owner_trim(&owner->pasids);
}

/* A container, whose groups and pool have left, is no longer there for an owner */
static void vfio_pasid_owner_leave(struct vfio_pasid_owner *owner)
{
	bool last;

	mutex_lock(&vfio_pasid_owners_lock);
	last = !--owner->containers;
	if (last)
		list_del(&owner->entry);
	mutex_unlock(&vfio_pasid_owners_lock);

	if (last)
		vfio_pasid_owner_free(owner);
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

	mutex_lock(&vfio_pasid_owners_lock);
	vfio_pasids_per_group = value;
	list_for_each_entry(owner, &vfio_pasid_owners, entry)
		vfio_pasid_owner_set_groups(owner, owner->groups);
	mutex_unlock(&vfio_pasid_owners_lock);
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

static bool vfio_pasid_mine(const struct vfio_pasid_owner *owner)
{
	return owner && READ_ONCE(owner->mm) == current->mm;
}

/* Is it the mm that current's process had before an exec? */
static bool vfio_pasid_before_exec(const struct vfio_pasid_owner *owner)
{
	return owner->mm != current->mm && owner->tgid == task_tgid(current);
}

/* May current take a container over from an mm that is not its own? */
static bool vfio_pasid_abandoned(const struct vfio_pasid_owner *owner)
{
	lockdep_assert_held(&vfio_pasid_owners_lock);
	return !atomic_read(&owner->mm->mm_users) ||
	       vfio_pasid_before_exec(owner);
}

/*
 * The owner that current's mm is, or becomes by its first request after an exec
 * that is not refused, whichever container it uses.
 */
static struct vfio_pasid_owner *vfio_pasid_owner_current(void)
{
	struct vfio_pasid_owner *owner = vfio_pasid_owner_find(current->mm);

	if (owner)
		return owner;
	list_for_each_entry(owner, &vfio_pasid_owners, entry) {
		if (vfio_pasid_before_exec(owner))
			return owner;
	}
	return NULL;
}

/*
 * Give a container, its pool and the share of its groups to an owner, who may
 * be new. On failure nothing has changed.
 */
static int vfio_pasid_join(struct vfio_pasid_container *pc,
			   struct vfio_pasid_owner *owner)
{
	unsigned int groups = owner->groups + pc->groups;
	int ret;

	lockdep_assert_held(&vfio_pasid_owners_lock);
	if (!pc->owner)
		pasid_pool_init(&pc->pool, &owner->pasids);
	ret = pasid_pool_move(&pc->pool, &owner->pasids,
			      vfio_pasid_quota(groups));
	if (ret)
		return ret;

	if (!owner->containers++)
		list_add(&owner->entry, &vfio_pasid_owners);
	owner->groups = groups;
	pc->owner = owner;
	return 0;
}

/* *@fresh is NULL afterwards if it was used */
static int vfio_pasid_claim_locked(struct vfio_pasid_container *pc,
				   struct vfio_pasid_owner **fresh)
{
	struct vfio_pasid_owner *owner, *old = pc->owner;
	int ret;

	/* Since the look without the lock, by a request for another container */
	if (vfio_pasid_mine(old))
		return 0;
	if (old && !vfio_pasid_abandoned(old))
		return -EPERM;

	owner = vfio_pasid_owner_current();
	if (!owner || owner != old) {
		ret = vfio_pasid_join(pc, owner ?: *fresh);
		if (ret)
			return ret;
	}
	if (!owner)
		*fresh = NULL;
	else if (owner->mm != current->mm)
		vfio_pasid_owner_succeed(owner);
	return 0;
}

/*
 * Make the container belong to current's mm, and keep it so when the request
 * that it is for fails: to undo it would take groups, and PASIDs with them, from
 * an owner who has asked for something else meanwhile.
 */
static int vfio_pasid_claim(struct vfio_pasid_container *pc)
{
	struct vfio_pasid_owner *fresh, *old = pc->owner;
	int ret;

	lockdep_assert_held(&pc->lock);
	if (!pc->groups)
		return -ENODEV;
	if (vfio_pasid_mine(old))
		return 0;

	/* Not with the lock, which all users share: memory can take its time */
	fresh = vfio_pasid_owner_create();
	if (!fresh)
		return -ENOMEM;

	mutex_lock(&vfio_pasid_owners_lock);
	ret = vfio_pasid_claim_locked(pc, &fresh);
	mutex_unlock(&vfio_pasid_owners_lock);

	if (fresh)
		vfio_pasid_owner_free(fresh);
	if (!ret && old && pc->owner != old) {
		vfio_pasid_owner_lose(old, pc->groups);
		vfio_pasid_owner_leave(old);
	}
	return ret;
}

/**
 * vfio_pasid_container_init - Prepare a container without groups
 * @pc: embedded in the backend's structure
 */
void vfio_pasid_container_init(struct vfio_pasid_container *pc)
{
	mutex_init(&pc->lock);
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
	mutex_destroy(&pc->lock);
}
EXPORT_SYMBOL_GPL(vfio_pasid_container_destroy);

/**
 * vfio_pasid_attach_group - A group was attached to a container
 * @pc: container
 *
 * Context: may sleep; inside of the backend's lock.
 */
void vfio_pasid_attach_group(struct vfio_pasid_container *pc)
{
	mutex_lock(&pc->lock);
	pc->groups++;
	if (pc->owner) {
		mutex_lock(&vfio_pasid_owners_lock);
		vfio_pasid_owner_set_groups(pc->owner, pc->owner->groups + 1);
		mutex_unlock(&vfio_pasid_owners_lock);
	}
	mutex_unlock(&pc->lock);
}
EXPORT_SYMBOL_GPL(vfio_pasid_attach_group);

static void vfio_pasid_lose_group(struct vfio_pasid_container *pc)
{
	struct vfio_pasid_owner *owner = pc->owner;

	if (!pc->groups)
		pasid_pool_destroy(&pc->pool);
	vfio_pasid_owner_lose(owner, 1);
	if (pc->groups)
		return;

	mutex_lock(&vfio_pasid_owners_lock);
	pc->owner = NULL;
	mutex_unlock(&vfio_pasid_owners_lock);
	vfio_pasid_owner_leave(owner);
}

/**
 * vfio_pasid_detach_group - A group was detached from a container
 * @pc: container
 *
 * With the last group, all PASIDs of the container are freed, and it belongs
 * to nobody. Otherwise the owner's newest ones are, as far as they exceed the
 * quota that it has left.
 *
 * Context: may sleep, for as long as it takes to free up to 2^20 PASIDs.
 */
void vfio_pasid_detach_group(struct vfio_pasid_container *pc)
{
	mutex_lock(&pc->lock);
	pc->groups--;
	if (pc->owner)
		vfio_pasid_lose_group(pc);
	mutex_unlock(&pc->lock);
}
EXPORT_SYMBOL_GPL(vfio_pasid_detach_group);

struct vfio_pasid_hw {
	u32 pasids;
	bool devices;
};

/* Where IOMMU drivers do not tell (see Makefile): none */
static u32 vfio_pasid_iommu_limit(struct device *dev)
{
#ifdef VFIO_IOMMU_LIMIT_UNKNOWN
	return 0;
#else
	return dev->iommu->iommu_dev->max_pasids;
#endif
}

static int vfio_pasid_device_limit(struct device *dev, void *data)
{
	struct vfio_pasid_hw *hw = data;
	u32 pasids = 0;

	/* Nothing can be read from a device that has no power, until it is opened */
	if (dev_is_pci(dev) && dev->iommu &&
	    to_pci_dev(dev)->current_state != PCI_D3cold)
		pasids = min_t(u32, vfio_pasid_iommu_limit(dev),
			       max(pci_max_pasids(to_pci_dev(dev)), 0));
	hw->pasids = min(hw->pasids, pasids);
	hw->devices = true;
	return 0;
}

/**
 * vfio_pasid_hw_limit - Lower a limit to what the devices of a group translate
 * @group: group of devices behind an IOMMU
 * @max_pasid: highest PASID that the IOMMU translates for all devices so far;
 *             becomes 0 when there is none, or no device
 */
void vfio_pasid_hw_limit(struct iommu_group *group, u32 *max_pasid)
{
	struct vfio_pasid_hw hw = { .pasids = *max_pasid + 1 };

	iommu_group_for_each_dev(group, &hw, vfio_pasid_device_limit);
	*max_pasid = hw.devices && hw.pasids ? hw.pasids - 1 : 0;
}
EXPORT_SYMBOL_GPL(vfio_pasid_hw_limit);

/* What the next request of current through this container would find */
static void vfio_pasid_usage(struct vfio_pasid_container *pc,
			     unsigned int *quota, unsigned int *used)
{
	struct vfio_pasid_owner *mine, *owner = pc->owner;
	unsigned int groups = pc->groups;

	*used = 0;
	mutex_lock(&vfio_pasid_owners_lock);
	mine = vfio_pasid_owner_current();
	if (owner && (owner == mine || !vfio_pasid_abandoned(owner))) {
		pasid_owner_usage(&owner->pasids, quota, used);
		goto out_unlock;
	}

	if (mine) {
		groups += mine->groups;
		pasid_owner_usage(&mine->pasids, quota, used);
	}
	*quota = vfio_pasid_quota(groups);
	if (owner)
		*used += pasid_pool_count(&pc->pool);
out_unlock:
	mutex_unlock(&vfio_pasid_owners_lock);
}

/**
 * vfio_pasid_info - Add the PASID capability to a container's information
 * @pc: container
 * @hw_max_pasid: highest PASID that the hardware of the container translates
 * @caps: chain to add to
 *
 * Context: may sleep; inside of the backend's lock.
 * Return: 0 or -ENOMEM.
 */
int vfio_pasid_info(struct vfio_pasid_container *pc, u32 hw_max_pasid,
		    struct vfio_info_cap *caps)
{
	struct vfio_iommu_type1_info_cap_pasid cap = {
		.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_PASID,
		.header.version = 1,
		.max_pasid = PASID_NUMBER_MAX,
		.hw_max_pasid = hw_max_pasid,
	};

	mutex_lock(&pc->lock);
	vfio_pasid_usage(pc, &cap.quota, &cap.used);
	mutex_unlock(&pc->lock);

	return vfio_info_add_capability(caps, &cap.header, sizeof(cap));
}
EXPORT_SYMBOL_GPL(vfio_pasid_info);

/**
 * vfio_pasid_show - Tell how many PASIDs a container has, and its owner
 * @pc: container
 * @m: what an administrator reads
 *
 * Context: may sleep; does not wait for the container's own user, who may be
 * giving back up to 2^20 PASIDs.
 */
void vfio_pasid_show(struct vfio_pasid_container *pc, struct seq_file *m)
{
	unsigned int count = 0, used = 0, quota = 0;

	mutex_lock(&vfio_pasid_owners_lock);
	if (pc->owner) {
		count = pasid_pool_count(&pc->pool);
		pasid_owner_usage(&pc->owner->pasids, &quota, &used);
	}
	mutex_unlock(&vfio_pasid_owners_lock);

	seq_printf(m, "vfio-pasids:\t%u\n", count);
	seq_printf(m, "vfio-pasids-owner:\t%u of %u\n", used, quota);
}
EXPORT_SYMBOL_GPL(vfio_pasid_show);

static int vfio_pasid_do_alloc(struct vfio_pasid_container *pc,
			       struct vfio_iommu_type1_pasid_request *req,
			       u64 *seq)
{
	int ret = pasid_alloc(&pc->pool, req->min, req->max, seq);

	if (ret < 0)
		return ret;
	req->pasid = ret;
	req->count = 1;
	return 0;
}

static int vfio_pasid_do_free(struct pasid_owner *owner,
			      struct vfio_iommu_type1_pasid_request *req)
{
	long ret = pasid_free(owner, req->min, req->max);

	if (ret < 0)
		return ret;
	req->count = ret;
	return 0;
}

/**
 * vfio_pasid_lock - Do something with PASIDs on behalf of current's mm
 * @pc: container; becomes the mm's if it is nobody's or may be taken over
 *
 * Context: may sleep; until vfio_pasid_unlock() the container stays its owner's.
 * That is another mm then if a process that had this one asks after an exec.
 * Return: the owner; or, and then the container is not locked, ERR_PTR(-ENODEV),
 * -EPERM, -EDQUOT or -ENOMEM, as the uAPI header says.
 */
struct pasid_owner *vfio_pasid_lock(struct vfio_pasid_container *pc)
{
	int ret;

	mutex_lock(&pc->lock);
	ret = vfio_pasid_claim(pc);
	if (ret) {
		mutex_unlock(&pc->lock);
		return ERR_PTR(ret);
	}
	return &pc->owner->pasids;
}
EXPORT_SYMBOL_GPL(vfio_pasid_lock);

/**
 * vfio_pasid_unlock - The counterpart of vfio_pasid_lock()
 * @pc: container that was locked
 */
void vfio_pasid_unlock(struct vfio_pasid_container *pc)
{
	mutex_unlock(&pc->lock);
}
EXPORT_SYMBOL_GPL(vfio_pasid_unlock);

/* @seq: for vfio_pasid_undo() of an allocation */
static int vfio_pasid_execute(struct vfio_pasid_container *pc,
			      struct vfio_iommu_type1_pasid_request *req,
			      u64 *seq)
{
	struct pasid_owner *owner = vfio_pasid_lock(pc);
	int ret;

	if (IS_ERR(owner))
		return PTR_ERR(owner);
	if (req->flags & VFIO_IOMMU_PASID_REQUEST_ALLOC)
		ret = vfio_pasid_do_alloc(pc, req, seq);
	else
		ret = vfio_pasid_do_free(owner, req);
	vfio_pasid_unlock(pc);
	return ret;
}

/* What cannot be told to user space was not allocated */
static void vfio_pasid_undo(struct vfio_pasid_container *pc, u32 pasid, u64 seq)
{
	mutex_lock(&pc->lock);
	if (pc->owner)
		pasid_alloc_undo(&pc->pool, pasid, seq);
	mutex_unlock(&pc->lock);
}

static bool vfio_pasid_request_valid(const struct vfio_iommu_type1_pasid_request *req)
{
	if (req->flags != VFIO_IOMMU_PASID_REQUEST_ALLOC &&
	    req->flags != VFIO_IOMMU_PASID_REQUEST_FREE)
		return false;
	return req->min && req->min <= req->max && req->max <= PASID_NUMBER_MAX;
}

/**
 * vfio_pasid_request - VFIO_IOMMU_PASID_REQUEST
 * @pc: container
 * @arg: user address of a struct vfio_iommu_type1_pasid_request
 *
 * Context: process context with an mm, no lock held.
 * Return: 0, or one of the errors that the uAPI header lists.
 */
int vfio_pasid_request(struct vfio_pasid_container *pc, unsigned long arg)
{
	struct vfio_iommu_type1_pasid_request __user *ureq = (void __user *)arg;
	struct vfio_iommu_type1_pasid_request req;
	size_t minsz = offsetofend(struct vfio_iommu_type1_pasid_request, count);
	u32 argsz;
	u64 seq;
	int ret;

	if (get_user(argsz, &ureq->argsz))
		return -EFAULT;
	if (argsz < minsz)
		return -EINVAL;
	if (copy_from_user(&req, ureq, minsz))
		return -EFAULT;
	if (!vfio_pasid_request_valid(&req))
		return -EINVAL;

	ret = vfio_pasid_execute(pc, &req, &seq);
	if (ret)
		return ret;

	if (copy_to_user(ureq, &req, minsz)) {
		if (req.flags & VFIO_IOMMU_PASID_REQUEST_ALLOC)
			vfio_pasid_undo(pc, req.pasid, seq);
		return -EFAULT;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_pasid_request);
