/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interfaces of the kernel that the test modules need, and that differ between
 * kernels. Each base of the series has its own version of this file.
 */
#ifndef __VFIO_TEST_BASE_H__
#define __VFIO_TEST_BASE_H__

#include <linux/platform_device.h>
#include <linux/vfio.h>

/* The callback of struct platform_driver that returns nothing */
#define vfio_base_remove	remove

/* At the end of a driver's release callback. Here the core frees the device. */
static inline void vfio_base_free_device(struct vfio_device *device)
{
}

#endif
