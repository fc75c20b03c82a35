// SPDX-License-Identifier: GPL-2.0-only
/*
 * One inode for each VFIO device, in a pseudo file system of their own.
 *
 * The purpose of the inode is its address space, which all files of a device
 * share. So the rmap of that one address space finds every CPU mapping of the
 * device in every process, and unmap_mapping_range() zaps them in one call.
 *
 * Lifetime: the inode lives as long as the memory of its vfio_device. Each open
 * file holds a registration of the device, and each VMA holds its file. So all
 * users of the address space are gone before the inode. A file does not
 * reference the inode itself: f_inode stays the anonymous one.
 *
 * Each inode pins the mount, and the mount pins this module. The mount goes
 * with the last inode, so an unused module can be unloaded.
 */

#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/vfio.h>
#include "vfio.h"

#define VFIO_FS_MAGIC	0x5646494f	/* "VFIO" */

/* simple_pin_fs() serialises access to both */
static struct vfsmount *vfio_fs_mount;
static int vfio_fs_pins;

static int vfio_fs_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, VFIO_FS_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type vfio_fs_type = {
	.name			= "vfio",
	.owner			= THIS_MODULE,
	.init_fs_context	= vfio_fs_init_fs_context,
	.kill_sb		= kill_anon_super,
};

/**
 * vfio_device_inode_init - Give a device its inode
 * @device: device that is being initialised and has none yet
 *
 * Context: process context, may sleep.
 * Return: 0, or an error such as -ENOMEM if the file system could not be
 * mounted or the inode could not be allocated; then nothing is held.
 */
int vfio_device_inode_init(struct vfio_device *device)
{
	struct inode *inode;
	int ret;

	ret = simple_pin_fs(&vfio_fs_type, &vfio_fs_mount, &vfio_fs_pins);
	if (ret)
		return ret;

	inode = alloc_anon_inode(vfio_fs_mount->mnt_sb);
	if (IS_ERR(inode)) {
		simple_release_fs(&vfio_fs_mount, &vfio_fs_pins);
		return PTR_ERR(inode);
	}

	device->inode = inode;
	return 0;
}

/**
 * vfio_device_inode_release - Drop the inode of a device
 * @device: device that no file can refer to any more
 *
 * Context: process context, may sleep.
 */
void vfio_device_inode_release(struct vfio_device *device)
{
	iput(device->inode);
	simple_release_fs(&vfio_fs_mount, &vfio_fs_pins);
}

/**
 * vfio_device_inode_attach - Let a new file of a device use its address space
 * @device: device that @filep was opened for
 * @filep: file, not yet visible to user space
 */
void vfio_device_inode_attach(struct vfio_device *device, struct file *filep)
{
	filep->f_mapping = device->inode->i_mapping;
}
