/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of this series need of the kernel, and kernels do in different
 * ways: each base of the series has its own version of this file.
 */
#ifndef __VFIO_BASE_H__
#define __VFIO_BASE_H__

#include <linux/iommu.h>
#include <linux/vfio.h>

/* The callback of struct platform_driver that returns nothing */
#define vfio_base_remove	remove

/* At the end of a driver's release callback. Here the core frees the device. */
static inline void vfio_base_free_device(struct vfio_device *device)
{
}

/* iommu_map(): memory as @gfp says */
static inline int vfio_base_iommu_map(struct iommu_domain *domain,
				      unsigned long iova, phys_addr_t phys,
				      size_t size, int prot, gfp_t gfp)
{
	return iommu_map(domain, iova, phys, size, prot, gfp);
}

#endif
