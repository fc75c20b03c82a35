// SPDX-License-Identifier: GPL-2.0-only
/*
 * PASIDs that devices have been told to use.
 *
 * An allocated PASID is a number and no more. A device may use it when the
 * PASID's owner says so through the device's file: then the driver is told the
 * number and a window, the part of the container's IOVA space that the device may
 * reach under it. The use is linked to the PASID, and ends
 *
 *   - when it is withdrawn through the device's file,
 *   - when the owner frees the PASID, or loses it, which waits for nobody: the
 *     use is marked, and a worker, or the next call for this device, does the
 *     rest,
 *   - with the last file of the device.
 *
 * Either way the driver's pasid_revoke() comes first. The PASID is put when it has
 * returned; not before that can the number be allocated again.
 *
 * Locks, outermost first:
 *
 *   vfio_pasid_uses.lock   serialises the driver's callbacks. Held while these
 *                          wait for memory of the device's user, so only the
 *                          user's calls and the device's worker take it.
 *   the backend's locks, those of pasid.c, mmap_lock
 *   pasid_lock             of pasid_pool.c
 *   xarray locks
 *
 * The worker is queued while there is a use, and uses end with the last file, in
 * vfio_pasid_uses_end(), which is why that one flushes it.
 *
 * An access that waits for the container's lock cannot be broken off. A process
 * can hold that lock indefinitely. So processes that share a container can make
 * each other wait, here as in all other operations on the container.
 */

#include <linux/mutex.h>
#include <linux/pasid_pool.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "pasid_use.h"
#include "vfio.h"

#define CREATE_TRACE_POINTS
#include <trace/events/vfio_pasid.h>

/* Bounds what a device's user can keep: memory, and numbers after a free */
#define VFIO_PASID_USES_MAX	1024

/* In vfio_pasid_uses.uses: the owner has freed the PASID */
#define VFIO_PASID_REVOKED	XA_MARK_0

/**
 * struct vfio_pasid_use - a PASID that a device may use
 * @user: links it to the PASID, if @linked
 * @linked: the owner is known to have the PASID; under vfio_pasid_uses.lock
 * @uses: of the device; constant, as all that follows
 * @number: the PASID
 * @iova: first IOVA of the window
 * @size: of the window, in bytes; not 0
 */
struct vfio_pasid_use {
	struct pasid_user user;
	bool linked;
	struct vfio_pasid_uses *uses;
	u32 number;
	u64 iova;
	u64 size;
};

/**
 * struct vfio_pasid_uses - the PASIDs of a device
 * @device: whose
 * @lock: serialises the driver's callbacks, and protects what follows
 * @uses: vfio_pasid_use, by number
 * @count: how many
 * @work: ends the uses that are marked VFIO_PASID_REVOKED
 */
struct vfio_pasid_uses {
	struct vfio_device *device;
	struct mutex lock;	/* all that follows */
	struct xarray uses;
	unsigned int count;
	struct work_struct work;
};

static void vfio_pasid_use_free(struct vfio_pasid_uses *uses,
				struct vfio_pasid_use *use)
{
	lockdep_assert_held(&uses->lock);
	if (use->linked)
		pasid_put(&use->user);
	xa_erase(&uses->uses, use->number);
	uses->count--;
	kfree(use);
}

static void vfio_pasid_use_end(struct vfio_pasid_uses *uses,
			       struct vfio_pasid_use *use)
{
	uses->device->ops->pasid_revoke(uses->device, use->number);
	trace_vfio_pasid_end(dev_name(uses->device->dev), use->number);
	vfio_pasid_use_free(uses, use);
}

/* What the owner has freed is gone before anything else is done with the device */
static void vfio_pasid_uses_reap(struct vfio_pasid_uses *uses)
{
	struct vfio_pasid_use *use;
	unsigned long number;

	lockdep_assert_held(&uses->lock);
	xa_for_each_marked(&uses->uses, number, use, VFIO_PASID_REVOKED)
		vfio_pasid_use_end(uses, use);
}

static void vfio_pasid_uses_work(struct work_struct *work)
{
	struct vfio_pasid_uses *uses =
		container_of(work, struct vfio_pasid_uses, work);

	mutex_lock(&uses->lock);
	vfio_pasid_uses_reap(uses);
	mutex_unlock(&uses->lock);
}

/* The owner has freed the PASID. Under pasid_lock: must not sleep. */
static void vfio_pasid_use_freed(struct pasid_user *user)
{
	struct vfio_pasid_use *use =
		container_of(user, struct vfio_pasid_use, user);

	xa_set_mark(&use->uses->uses, use->number, VFIO_PASID_REVOKED);
	/* It may take its time: not in a queue that others flush */
	queue_work(system_unbound_wq, &use->uses->work);
}

static struct vfio_pasid_use *
vfio_pasid_use_create(struct vfio_pasid_uses *uses,
		      const struct vfio_device_feature_pasid *req)
{
	struct vfio_pasid_use *use;
	int ret;

	if (uses->count == VFIO_PASID_USES_MAX)
		return ERR_PTR(-ENOSPC);

	use = kzalloc(sizeof(*use), VFIO_GFP_USER);
	if (!use)
		return ERR_PTR(-ENOMEM);
	use->user.freed = vfio_pasid_use_freed;
	use->uses = uses;
	use->number = req->pasid;
	use->iova = req->iova;
	use->size = req->size;

	ret = xa_insert(&uses->uses, use->number, use, VFIO_GFP_USER);
	if (ret) {
		kfree(use);
		return ERR_PTR(ret == -EBUSY ? -EEXIST : ret);
	}
	uses->count++;
	return use;
}

static int vfio_pasid_allow(struct vfio_pasid_uses *uses,
			    const struct vfio_device_feature_pasid *req)
{
	struct vfio_device *device = uses->device;
	struct vfio_pasid_use *use;
	int ret;

	use = vfio_pasid_use_create(uses, req);
	if (IS_ERR(use))
		return PTR_ERR(use);

	ret = vfio_device_container_pasid_get(device, use->number, &use->user);
	use->linked = !ret;
	if (!ret)
		ret = device->ops->pasid_allow(device, use->number, use->iova,
					       use->iova + (use->size - 1));
	if (ret)
		vfio_pasid_use_free(uses, use);
	return ret;
}

static int vfio_pasid_withdraw(struct vfio_pasid_uses *uses, u32 number)
{
	struct vfio_pasid_use *use = xa_load(&uses->uses, number);

	if (!use)
		return -ENOENT;
	vfio_pasid_use_end(uses, use);
	return 0;
}

static bool vfio_pasid_window_valid(u64 iova, u64 size)
{
	return size && PAGE_ALIGNED(iova) && PAGE_ALIGNED(size) &&
	       iova + (size - 1) >= iova;
}

static int vfio_pasid_feature_set(struct vfio_pasid_uses *uses,
				  const struct vfio_device_feature_pasid *req)
{
	int ret;

	switch (req->flags) {
	case VFIO_DEVICE_PASID_ALLOW:
		if (!vfio_pasid_window_valid(req->iova, req->size))
			return -EINVAL;
		break;
	case VFIO_DEVICE_PASID_WITHDRAW:
		if (req->iova || req->size)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}

	mutex_lock(&uses->lock);
	vfio_pasid_uses_reap(uses);
	if (req->flags == VFIO_DEVICE_PASID_ALLOW) {
		ret = vfio_pasid_allow(uses, req);
		trace_vfio_pasid_allow(dev_name(uses->device->dev), req->pasid,
				       req->iova, req->size, ret);
	} else {
		ret = vfio_pasid_withdraw(uses, req->pasid);
	}
	mutex_unlock(&uses->lock);
	return ret;
}

static int vfio_pasid_feature_get(struct vfio_pasid_uses *uses,
				  struct vfio_device_feature_pasid *req)
{
	struct vfio_pasid_use *use;
	unsigned long number = req->pasid;

	if (req->flags)
		return -EINVAL;

	mutex_lock(&uses->lock);
	vfio_pasid_uses_reap(uses);
	use = xa_find(&uses->uses, &number, U32_MAX, XA_PRESENT);
	if (use) {
		req->pasid = use->number;
		req->iova = use->iova;
		req->size = use->size;
	}
	mutex_unlock(&uses->lock);
	return use ? 0 : -ENOENT;
}

/**
 * vfio_pasid_feature - VFIO_DEVICE_FEATURE_PASID
 * @device: device whose file the call came through
 * @flags: GET, SET or PROBE, and the feature
 * @arg: struct vfio_device_feature_pasid
 * @argsz: of that, as user space says
 *
 * Context: process context with an mm, no lock held.
 * Return: 0, or one of the errors that the uAPI header lists.
 */
int vfio_pasid_feature(struct vfio_device *device, u32 flags, void __user *arg,
		       size_t argsz)
{
	struct vfio_device_feature_pasid req;
	int ret;

	if (!device->pasids)
		return -ENOTTY;
	ret = vfio_check_feature(flags, argsz, VFIO_DEVICE_FEATURE_GET |
				 VFIO_DEVICE_FEATURE_SET, sizeof(req));
	if (ret != 1)
		return ret;
	if (copy_from_user(&req, arg, sizeof(req)))
		return -EFAULT;

	if (flags & VFIO_DEVICE_FEATURE_SET)
		return vfio_pasid_feature_set(device->pasids, &req);

	ret = vfio_pasid_feature_get(device->pasids, &req);
	if (!ret && copy_to_user(arg, &req, sizeof(req)))
		ret = -EFAULT;
	return ret;
}

/**
 * vfio_pasid_uses_end - A device is closed: it uses no PASID any more
 * @device: device without users; the driver still has it open
 *
 * Context: may sleep; inside of dev_set->lock and vfio_group.group_lock.
 */
void vfio_pasid_uses_end(struct vfio_device *device)
{
	struct vfio_pasid_uses *uses = device->pasids;
	struct vfio_pasid_use *use;
	unsigned long number;

	if (!uses)
		return;

	mutex_lock(&uses->lock);
	xa_for_each(&uses->uses, number, use)
		vfio_pasid_use_end(uses, use);
	/* An insertion that found no memory leaves nodes behind */
	xa_destroy(&uses->uses);
	mutex_unlock(&uses->lock);
	cancel_work_sync(&uses->work);
}

/**
 * vfio_pasid_uses_init - Prepare a device for the use of PASIDs
 * @device: device that is being initialised; its ops say whether it can
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_pasid_uses_init(struct vfio_device *device)
{
	struct vfio_pasid_uses *uses;

	if (!device->ops->pasid_allow || WARN_ON(!device->ops->pasid_revoke))
		return 0;

	uses = kzalloc(sizeof(*uses), GFP_KERNEL);
	if (!uses)
		return -ENOMEM;
	uses->device = device;
	mutex_init(&uses->lock);
	xa_init_flags(&uses->uses, XA_FLAGS_ACCOUNT);
	INIT_WORK(&uses->work, vfio_pasid_uses_work);
	device->pasids = uses;
	return 0;
}

/**
 * vfio_pasid_uses_release - The counterpart of vfio_pasid_uses_init()
 * @device: device that was closed, if it was ever open
 */
void vfio_pasid_uses_release(struct vfio_device *device)
{
	struct vfio_pasid_uses *uses = device->pasids;

	if (!uses)
		return;

	mutex_destroy(&uses->lock);
	kfree(uses);
}
