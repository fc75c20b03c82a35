// SPDX-License-Identifier: GPL-2.0-only
/*
 * PASIDs of devices, attached to address spaces.
 *
 * An allocated PASID is a number and no more. The PASID's owner attaches it,
 * through a device's file, to a space: the container's own, or one beside it
 * (space.c). From then on the device's driver reaches that space when it names
 * the PASID: vfio_dma_rw_pasid(). The use has references to both. It ends when
 * the PASID is detached, and with the last file of the device, before the
 * driver's close_device(). It also ends when the owner frees the PASID, or loses
 * it. The owner waits for nobody: the use is cut at once, and a worker, or the
 * next call for this device, does the rest.
 *
 * First the use is cut: no access begins any more. Then the driver breaks off
 * those that are under way, and they are waited for. Then the references are put.
 * Not before that can the number be allocated again.
 *
 * An access that waits for memory of another process (FUSE), or for a mmap_lock,
 * cannot be broken off. Then who detaches, or closes, waits for it as well. Only
 * tasks that do something with the same device do. A process can do that to itself,
 * as the server of such memory that is killed: what ends the wait is the file
 * "abort" of that FUSE connection.
 *
 * Locks, outermost first:
 *
 *   vfio_pasid_uses.lock   serialises attach and detach. Held while accesses of
 *                          the device end, so not around the lock of a space
 *   the locks of pasid.c, mmap_lock
 *   xa_lock of .uses       around a few steps; inside of pasid_lock too
 */

#include <linux/mutex.h>
#include <linux/pasid_pool.h>
#include <linux/slab.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "pasid_use.h"
#include "vfio.h"

#include <trace/events/vfio_pasid.h>

/* Bounds what a device's user can keep: memory, and numbers after a free */
#define VFIO_PASID_USES_MAX	1024

/* In vfio_pasid_uses.uses: the owner has freed the PASID */
#define VFIO_PASID_FREED	XA_MARK_0

/**
 * struct vfio_pasid_use - a PASID of a device
 * @user: reference to the PASID
 * @uses: of the device; constant
 * @number: the PASID; constant
 * @space: that it is attached to, with a reference; NULL until the PASID is known
 *         to be the caller's. Set under xa_lock of @uses
 * @running: accesses under way; under xa_lock of @uses
 */
struct vfio_pasid_use {
	struct pasid_user user;
	struct vfio_pasid_uses *uses;
	u32 number;
	struct vfio_backend *space;
	unsigned int running;
};

/**
 * struct vfio_pasid_uses - the PASIDs of a device
 * @device: whose
 * @uses: vfio_pasid_use, by number; changes under @lock
 * @idle: to wait here for the end of accesses
 * @work: ends the uses that are marked VFIO_PASID_FREED
 * @lock: serialises what begins and ends uses, and protects @count
 * @count: of @uses
 */
struct vfio_pasid_uses {
	struct vfio_device *device;
	struct xarray uses;
	wait_queue_head_t idle;
	struct work_struct work;
	struct mutex lock;	/* all that follows */
	unsigned int count;
};

/* Take the use out: nobody finds it any more */
static void vfio_pasid_use_cut(struct vfio_pasid_use *use)
{
	lockdep_assert_held(&use->uses->lock);
	xa_erase(&use->uses->uses, use->number);
	use->uses->count--;
}

/* After it, what accesses did comes before what the caller does */
static bool vfio_pasid_use_idle(struct vfio_pasid_use *use)
{
	bool idle;

	xa_lock(&use->uses->uses);
	idle = !use->running;
	xa_unlock(&use->uses->uses);
	return idle;
}

static void vfio_pasid_use_end(struct vfio_pasid_use *use)
{
	struct vfio_pasid_uses *uses = use->uses;
	struct vfio_device *device = uses->device;

	vfio_pasid_use_cut(use);
	device->ops->pasid_detach(device, use->number);
	wait_event(uses->idle, vfio_pasid_use_idle(use));
	trace_vfio_pasid_detach(dev_name(device->dev), use->number);

	vfio_device_space_detach(use->space);
	pasid_put(&use->user);
	kfree(use);
}

/* What the owner has freed is gone before anything else is done with the device */
static void vfio_pasid_uses_reap(struct vfio_pasid_uses *uses)
{
	struct vfio_pasid_use *use;
	unsigned long number;

	lockdep_assert_held(&uses->lock);
	xa_for_each_marked(&uses->uses, number, use, VFIO_PASID_FREED)
		vfio_pasid_use_end(use);
}

static void vfio_pasid_uses_work(struct work_struct *work)
{
	struct vfio_pasid_uses *uses =
		container_of(work, struct vfio_pasid_uses, work);

	mutex_lock(&uses->lock);
	vfio_pasid_uses_reap(uses);
	mutex_unlock(&uses->lock);
}

/* The owner has freed the PASID. Must not sleep. */
static void vfio_pasid_freed(struct pasid_user *user)
{
	struct vfio_pasid_use *use =
		container_of(user, struct vfio_pasid_use, user);

	xa_set_mark(&use->uses->uses, use->number, VFIO_PASID_FREED);
	/* It may take its time: not in a queue that others flush */
	queue_work(system_unbound_wq, &use->uses->work);
}

static struct vfio_pasid_use *
vfio_pasid_use_create(struct vfio_pasid_uses *uses, u32 number)
{
	struct vfio_pasid_use *use;
	int ret;

	if (xa_load(&uses->uses, number))
		return ERR_PTR(-EBUSY);
	if (uses->count == VFIO_PASID_USES_MAX)
		return ERR_PTR(-ENOSPC);

	use = kzalloc(sizeof(*use), VFIO_GFP_USER);
	if (!use)
		return ERR_PTR(-ENOMEM);
	use->user.freed = vfio_pasid_freed;
	use->uses = uses;
	use->number = number;

	ret = xa_insert(&uses->uses, number, use, VFIO_GFP_USER);
	if (ret) {
		kfree(use);
		return ERR_PTR(ret);
	}
	uses->count++;
	return use;
}

/* Begin a use, with the caller's references to the space; not on failure */
static int vfio_pasid_use_begin(struct vfio_pasid_uses *uses, u32 number,
				struct vfio_backend *space)
{
	struct vfio_pasid_use *use;
	int ret;

	lockdep_assert_held(&uses->lock);
	use = vfio_pasid_use_create(uses, number);
	if (IS_ERR(use))
		return PTR_ERR(use);
	ret = vfio_device_container_pasid_get(uses->device, number, &use->user);
	if (ret) {
		vfio_pasid_use_cut(use);
		kfree(use);
		return ret;
	}

	/* From now on accesses find it, unless it is freed already */
	xa_lock(&uses->uses);
	use->space = space;
	xa_unlock(&uses->uses);
	return 0;
}

/* Attach a PASID of current's to the space of a file, or with -1 the container's own */
int vfio_pasid_attach(struct vfio_device *device, u32 number, int fd)
{
	struct vfio_pasid_uses *uses = device->pasids;
	struct vfio_backend *space;
	int ret;

	space = vfio_device_space_attach(device, fd);
	if (IS_ERR(space))
		return PTR_ERR(space);

	mutex_lock(&uses->lock);
	vfio_pasid_uses_reap(uses);
	ret = vfio_pasid_use_begin(uses, number, space);
	mutex_unlock(&uses->lock);
	if (ret)
		vfio_device_space_detach(space);
	return ret;
}

/* The counterpart. Waits for accesses of the device only */
int vfio_pasid_detach(struct vfio_device *device, u32 number)
{
	struct vfio_pasid_uses *uses = device->pasids;
	struct vfio_pasid_use *use;

	mutex_lock(&uses->lock);
	vfio_pasid_uses_reap(uses);
	use = xa_load(&uses->uses, number);
	if (use)
		vfio_pasid_use_end(use);
	mutex_unlock(&uses->lock);
	return use ? 0 : -ENOENT;
}

/* The first PASID from @number on that is attached, or 0 */
u32 vfio_pasid_next(struct vfio_device *device, u32 number)
{
	struct vfio_pasid_uses *uses = device->pasids;
	struct vfio_pasid_use *use;
	unsigned long index = number;

	mutex_lock(&uses->lock);
	vfio_pasid_uses_reap(uses);
	use = xa_find(&uses->uses, &index, U32_MAX, XA_PRESENT);
	mutex_unlock(&uses->lock);
	return use ? index : 0;
}

/* Begin an access; NULL if nothing can be reached under that PASID */
static struct vfio_pasid_use *vfio_pasid_enter(struct vfio_pasid_uses *uses,
					       u32 number)
{
	struct vfio_pasid_use *use;

	xa_lock(&uses->uses);
	use = xa_load(&uses->uses, number);
	if (use && (!use->space ||
		    xa_get_mark(&uses->uses, number, VFIO_PASID_FREED)))
		use = NULL;
	if (use)
		use->running++;
	xa_unlock(&uses->uses);
	return use;
}

static void vfio_pasid_leave(struct vfio_pasid_uses *uses,
			     struct vfio_pasid_use *use)
{
	bool last;

	xa_lock(&uses->uses);
	last = !--use->running;
	xa_unlock(&uses->uses);

	/* From here on @use may be gone */
	if (last)
		wake_up_all(&uses->idle);
}

/**
 * vfio_dma_rw_pasid - Access the address space that a PASID is attached to
 * @device: device whose ops have pasid_detach()
 * @pasid: PASID of the access
 * @iova: first IOVA of a user space buffer
 * @data: kernel buffer
 * @len: its size, in bytes
 * @write: into user space
 *
 * Context: as for vfio_dma_rw(), and until close_device() has returned. A fatal
 * signal ends the wait for the lock of the space, and for user memory.
 * Return: 0; -ENOENT if the PASID is not attached; or an error of vfio_dma_rw().
 */
int vfio_dma_rw_pasid(struct vfio_device *device, u32 pasid, dma_addr_t iova,
		      void *data, size_t len, bool write)
{
	struct vfio_pasid_use *use;
	int ret;

	if (!data || !len || !vfio_assert_device_open(device))
		return -EINVAL;

	use = vfio_pasid_enter(device->pasids, pasid);
	if (!use)
		return -ENOENT;
	ret = use->space->driver->ops->dma_rw(use->space->data, iova, data, len,
					      write);
	vfio_pasid_leave(device->pasids, use);
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_dma_rw_pasid);

/* The device has no users any more; its driver still has it open */
void vfio_pasid_uses_end(struct vfio_device *device)
{
	struct vfio_pasid_uses *uses = device->pasids;
	struct vfio_pasid_use *use;
	unsigned long number;

	if (!uses)
		return;

	mutex_lock(&uses->lock);
	xa_for_each(&uses->uses, number, use)
		vfio_pasid_use_end(use);
	/* An insertion that found no memory leaves nodes behind */
	xa_destroy(&uses->uses);
	mutex_unlock(&uses->lock);
	cancel_work_sync(&uses->work);
}

/* A device is being initialised: its ops say whether it can use PASIDs */
int vfio_pasid_uses_init(struct vfio_device *device)
{
	struct vfio_pasid_uses *uses;

	if (!device->ops->pasid_detach)
		return 0;

	uses = kzalloc(sizeof(*uses), GFP_KERNEL);
	if (!uses)
		return -ENOMEM;
	uses->device = device;
	xa_init_flags(&uses->uses, XA_FLAGS_ACCOUNT);
	init_waitqueue_head(&uses->idle);
	INIT_WORK(&uses->work, vfio_pasid_uses_work);
	mutex_init(&uses->lock);
	device->pasids = uses;
	return 0;
}

/* The counterpart of vfio_pasid_uses_init(). The device was closed, if ever open */
void vfio_pasid_uses_release(struct vfio_device *device)
{
	struct vfio_pasid_uses *uses = device->pasids;

	if (uses)
		mutex_destroy(&uses->lock);
	kfree(uses);
}
