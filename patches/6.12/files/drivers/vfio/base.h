/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of this series need of the kernel, and kernels do in different
 * ways: each base of the series has its own version of this file.
 */
#ifndef __VFIO_BASE_H__
#define __VFIO_BASE_H__

#include <linux/vfio.h>

/* At the end of a driver's release callback. Here the core frees the device. */
static inline void vfio_base_free_device(struct vfio_device *device)
{
}

#endif
