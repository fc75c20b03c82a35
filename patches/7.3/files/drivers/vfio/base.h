/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interfaces of the kernel that the files of this series need, and that differ
 * between kernels. Each base of the series has its own version of this file.
 */
#ifndef __VFIO_BASE_H__
#define __VFIO_BASE_H__

#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>

/* iommu_map(): memory as @gfp says */
static inline int vfio_base_iommu_map(struct iommu_domain *domain,
				      unsigned long iova, phys_addr_t phys,
				      size_t size, int prot, gfp_t gfp)
{
	return iommu_map(domain, iova, phys, size, prot, gfp);
}

/* Where the architecture puts a mapping; under mmap_lock */
static inline unsigned long
vfio_base_get_unmapped_area(struct file *filep, unsigned long addr,
			    unsigned long len, unsigned long pgoff,
			    unsigned long flags)
{
	return mm_get_unmapped_area(filep, addr, len, pgoff, flags);
}

#endif
