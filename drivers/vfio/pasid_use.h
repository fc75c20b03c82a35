/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PASIDs of devices, attached to address spaces: what the core calls. See
 * pasid_use.c.
 */
#ifndef VFIO_PASID_USE_H
#define VFIO_PASID_USE_H

#include <linux/errno.h>
#include <linux/types.h>

struct vfio_device;

#if IS_ENABLED(CONFIG_VFIO_PASID)
int vfio_pasid_feature(struct vfio_device *device, u32 flags, void __user *arg,
		       size_t argsz);
int vfio_pasid_attach(struct vfio_device *device, u32 number, int fd);
int vfio_pasid_detach(struct vfio_device *device, u32 number);
u32 vfio_pasid_next(struct vfio_device *device, u32 number);
void vfio_pasid_uses_end(struct vfio_device *device);
int vfio_pasid_uses_init(struct vfio_device *device);
void vfio_pasid_uses_release(struct vfio_device *device);
#else
static inline int vfio_pasid_feature(struct vfio_device *device, u32 flags,
				     void __user *arg, size_t argsz)
{
	return -ENOTTY;
}

static inline void vfio_pasid_uses_end(struct vfio_device *device)
{
}

static inline int vfio_pasid_uses_init(struct vfio_device *device)
{
	return 0;
}

static inline void vfio_pasid_uses_release(struct vfio_device *device)
{
}
#endif

#endif
