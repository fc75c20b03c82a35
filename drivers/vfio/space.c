// SPDX-License-Identifier: GPL-2.0-only
/*
 * Address spaces beside a container's own.
 *
 * A container's file makes them, and each is a file. A device of the container
 * reaches one under a PASID that is attached to it: see pasid_use.c.
 *
 *   vfio_backend  of the container, the parent; and one for each space. The same
 *                 IOMMU driver serves both, by the same functions
 *   vfio_space    a space's file
 *
 * A space's backend has references of its file, of each ioctl that runs, and of
 * each PASID that is attached. The last one releases it, whoever that is: a
 * close, an exit, or the owner of a PASID who frees it. None of these may wait
 * for a user. So spaces have no IOMMU domain, and nothing in them is pinned.
 *
 * Closing the file detaches nothing. When the last group leaves the container,
 * no device is open, hence nothing is attached. Then the files lose their
 * references, and their ioctls fail.
 *
 * File and backend have a reference to the parent, and thus to the IOMMU
 * driver's module. The parent's data stays, although it has no groups.
 *
 * A space is made with vfio_container.group_lock held for reading. The last
 * group leaves with it held for writing. vfio_spaces.lock is a leaf.
 */

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "space.h"
#include "vfio.h"

static unsigned int vfio_spaces_per_group = 32;
module_param_named(spaces_per_group, vfio_spaces_per_group, uint, 0644);
MODULE_PARM_DESC(spaces_per_group,
		 "Address spaces that a container may have for each IOMMU group (32).");

/**
 * struct vfio_space - the file of a space
 * @parent: backend of the container, with a reference; constant
 * @backend: of the space, with a reference; NULL when the container's last group
 *           has left. Under vfio_spaces.lock of @parent
 * @entry: in vfio_spaces.files, while there is a @backend
 */
struct vfio_space {
	struct vfio_backend *parent;
	struct vfio_backend *backend;
	struct list_head entry;
};

/* Take the file's reference to the backend; NULL if it has none any more */
static struct vfio_backend *vfio_space_take(struct vfio_space *space)
{
	struct vfio_backend *backend = space->backend;

	lockdep_assert_held(&space->parent->spaces.lock);
	if (backend) {
		list_del(&space->entry);
		space->backend = NULL;
	}
	return backend;
}

/* Get a reference to the backend; NULL if the file has none any more */
static struct vfio_backend *vfio_space_backend_get(struct vfio_space *space)
{
	struct vfio_backend *backend;

	spin_lock(&space->parent->spaces.lock);
	backend = space->backend;
	if (backend)
		kref_get(&backend->kref);
	spin_unlock(&space->parent->spaces.lock);
	return backend;
}

static void vfio_space_free(struct vfio_space *space)
{
	struct vfio_backend *backend;

	spin_lock(&space->parent->spaces.lock);
	backend = vfio_space_take(space);
	spin_unlock(&space->parent->spaces.lock);

	if (backend)
		vfio_backend_put(backend);
	vfio_backend_put(space->parent);
	kfree(space);
}

static int vfio_space_release(struct inode *inode, struct file *file)
{
	vfio_space_free(file->private_data);
	return 0;
}

static long vfio_space_ioctl(struct file *file, unsigned int cmd,
			     unsigned long arg)
{
	struct vfio_space *space = file->private_data;
	struct vfio_backend *backend;
	long ret;

	switch (cmd) {
	case VFIO_IOMMU_GET_INFO:
	case VFIO_IOMMU_MAP_DMA:
	case VFIO_IOMMU_UNMAP_DMA:
	case VFIO_IOMMU_DIRTY_PAGES:
		break;
	default:
		return -ENOTTY;
	}

	backend = vfio_space_backend_get(space);
	if (!backend)
		return -ENODEV;
	ret = backend->driver->ops->ioctl(backend->data, cmd, arg);
	vfio_backend_put(backend);
	return ret;
}

static void vfio_space_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct vfio_backend *backend = vfio_space_backend_get(file->private_data);

	if (!backend)
		return;
	backend->driver->ops->show_fdinfo(backend->data, m);
	vfio_backend_put(backend);
}

static const struct file_operations vfio_space_fops = {
	.owner		= THIS_MODULE,
	.release	= vfio_space_release,
	.unlocked_ioctl	= vfio_space_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.show_fdinfo	= vfio_space_show_fdinfo,
};

/**
 * vfio_space_check - Check the arguments of VFIO_IOMMU_SPACE_CREATE
 * @arg: user address of a struct vfio_iommu_type1_space_create
 *
 * Context: no lock held.
 * Return: 0, -EFAULT or -EINVAL.
 */
int vfio_space_check(unsigned long arg)
{
	size_t minsz = offsetofend(struct vfio_iommu_type1_space_create,
				   __reserved);
	struct vfio_iommu_type1_space_create create;

	if (copy_from_user(&create, (void __user *)arg, minsz))
		return -EFAULT;
	if (create.argsz < minsz || create.flags || create.__reserved ||
	    create.device != -1)
		return -EINVAL;
	return 0;
}

/* Count one more space, of so many groups. Returns false if there are enough */
static bool vfio_spaces_charge(struct vfio_spaces *spaces, unsigned int groups)
{
	u64 limit = (u64)READ_ONCE(vfio_spaces_per_group) * groups;
	bool ok;

	spin_lock(&spaces->lock);
	ok = spaces->count < limit;
	if (ok)
		spaces->count++;
	spin_unlock(&spaces->lock);
	return ok;
}

/**
 * vfio_space_left - A space of a container is no more
 * @parent: backend of the container, with the space's reference
 */
void vfio_space_left(struct vfio_backend *parent)
{
	spin_lock(&parent->spaces.lock);
	parent->spaces.count--;
	spin_unlock(&parent->spaces.lock);
	vfio_backend_put(parent);
}

/* The backend of a new space */
static struct vfio_backend *vfio_space_open(struct vfio_backend *parent,
					    unsigned int groups)
{
	const struct vfio_iommu_driver_ops *ops = parent->driver->ops;
	struct vfio_backend *backend;
	void *data;

	if (!ops->space_open)
		return ERR_PTR(-ENOTTY);
	if (!vfio_spaces_charge(&parent->spaces, groups))
		return ERR_PTR(-ENOSPC);
	kref_get(&parent->kref);

	backend = kzalloc(sizeof(*backend), VFIO_GFP_USER);
	data = backend ? ops->space_open(parent->data) : ERR_PTR(-ENOMEM);
	if (IS_ERR(data)) {
		kfree(backend);
		vfio_space_left(parent);
		return data;
	}

	kref_init(&backend->kref);
	backend->driver = parent->driver;
	backend->data = data;
	backend->parent = parent;
	return backend;
}

/* What a new file needs; takes the caller's reference to the backend on success */
static struct vfio_space *vfio_space_alloc(struct vfio_backend *backend)
{
	struct vfio_backend *parent = backend->parent;
	struct vfio_space *space = kzalloc(sizeof(*space), VFIO_GFP_USER);

	if (!space)
		return NULL;

	kref_get(&parent->kref);
	space->parent = parent;
	space->backend = backend;
	spin_lock(&parent->spaces.lock);
	list_add_tail(&space->entry, &parent->spaces.files);
	spin_unlock(&parent->spaces.lock);
	return space;
}

/**
 * vfio_space_create - VFIO_IOMMU_SPACE_CREATE, with arguments that are good
 * @parent: backend of the container
 * @groups: attached to that
 *
 * Context: vfio_container.group_lock held.
 * Return: a file descriptor, or one of the errors that the uAPI header lists.
 */
int vfio_space_create(struct vfio_backend *parent, unsigned int groups)
{
	struct vfio_backend *backend = vfio_space_open(parent, groups);
	struct vfio_space *space;
	int fd;

	if (IS_ERR(backend))
		return PTR_ERR(backend);

	space = vfio_space_alloc(backend);
	if (!space) {
		vfio_backend_put(backend);
		return -ENOMEM;
	}

	fd = anon_inode_getfd("[vfio-space]", &vfio_space_fops, space,
			      O_RDWR | O_CLOEXEC);
	if (fd < 0)
		vfio_space_free(space);
	return fd;
}

/**
 * vfio_space_get - Get a space of a container by its file
 * @parent: backend of the container
 * @fd: file descriptor
 *
 * Return: the backend with a reference; ERR_PTR(-EBADF), -EINVAL (no space of that
 * container) or -ENODEV (the container of the space has lost its last group).
 */
struct vfio_backend *vfio_space_get(struct vfio_backend *parent, int fd)
{
	struct vfio_backend *backend;
	struct vfio_space *space;
	struct fd f = fdget(fd);

	if (!f.file)
		return ERR_PTR(-EBADF);

	backend = ERR_PTR(-EINVAL);
	if (f.file->f_op != &vfio_space_fops)
		goto out;
	space = f.file->private_data;
	backend = vfio_space_backend_get(space);
	if (!backend) {
		backend = ERR_PTR(-ENODEV);
	} else if (space->parent != parent) {
		vfio_backend_put(backend);
		backend = ERR_PTR(-EINVAL);
	}
out:
	fdput(f);
	return backend;
}

/**
 * vfio_spaces_init - A container has no space yet
 * @parent: its backend
 */
void vfio_spaces_init(struct vfio_backend *parent)
{
	spin_lock_init(&parent->spaces.lock);
	INIT_LIST_HEAD(&parent->spaces.files);
}

/**
 * vfio_spaces_kill - The last group has left a container
 * @parent: its backend, which the container has no more
 *
 * Context: vfio_container.group_lock held for writing. Waits for no user.
 */
void vfio_spaces_kill(struct vfio_backend *parent)
{
	struct vfio_backend *backend;
	struct vfio_space *space;

	do {
		spin_lock(&parent->spaces.lock);
		space = list_first_entry_or_null(&parent->spaces.files,
						 struct vfio_space, entry);
		backend = space ? vfio_space_take(space) : NULL;
		spin_unlock(&parent->spaces.lock);

		if (backend)
			vfio_backend_put(backend);
		cond_resched();
	} while (backend);
}

/**
 * vfio_spaces_show - Tell how many spaces a container has
 * @parent: its backend
 * @m: what an administrator reads
 */
void vfio_spaces_show(struct vfio_backend *parent, struct seq_file *m)
{
	seq_printf(m, "vfio-spaces:\t%u\n", READ_ONCE(parent->spaces.count));
}
