// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_DEVICE_FEATURE_PASID: what userspace says and is told about the PASIDs of a
 * device. What is done with it is in pasid_use.c.
 */

#include <linux/pasid_pool.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "pasid_use.h"

#define CREATE_TRACE_POINTS
#include <trace/events/vfio_pasid.h>

static int vfio_pasid_feature_set(struct vfio_device *device,
				  const struct vfio_device_feature_pasid *req)
{
	int ret;

	if (req->max_pasid)
		return -EINVAL;

	switch (req->flags) {
	case VFIO_DEVICE_PASID_ATTACH:
		ret = vfio_pasid_attach(device, req->pasid, req->space);
		trace_vfio_pasid_attach(dev_name(device->dev), req->pasid,
					req->space, ret);
		return ret;
	case VFIO_DEVICE_PASID_DETACH:
		if (req->space)
			return -EINVAL;
		return vfio_pasid_detach(device, req->pasid);
	default:
		return -EINVAL;
	}
}

static int vfio_pasid_feature_get(struct vfio_device *device,
				  struct vfio_device_feature_pasid *req)
{
	if (req->flags & ~VFIO_DEVICE_PASID_SYSTEM)
		return -EINVAL;

	req->flags = VFIO_DEVICE_PASID_SYSTEM;
	req->pasid = vfio_pasid_next(device, req->pasid);
	req->max_pasid = PASID_NUMBER_MAX;
	return 0;
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
		return vfio_pasid_feature_set(device, &req);

	ret = vfio_pasid_feature_get(device, &req);
	if (!ret && copy_to_user(arg, &req, sizeof(req)))
		ret = -EFAULT;
	return ret;
}
