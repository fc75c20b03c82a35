// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses of mmap() for the memory of a device.
 *
 * Page tables have large pages only where virtual and physical addresses are
 * congruent, that is, the same modulo the size of such a page. That holds for
 * the page tables of the CPU, and for those of an IOMMU, because programs like
 * to use their virtual addresses as IOVAs. So, if the user leaves the choice to
 * the kernel, take an address that is congruent to the memory's, for the
 * largest page that fits into the mapping.
 *
 * The architecture chooses a place, with its limits and at random, for a
 * mapping that is longer by up to such a page. This file chooses the page in
 * it. The price is holes between mappings, in address space and not in memory.
 */

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <linux/vfio.h>

#include "base.h"
#include "vfio.h"

/* Does the memory have a page of @size, at a multiple of @size? */
static bool vfio_area_has_page(phys_addr_t phys, unsigned long len,
			       unsigned long size)
{
	unsigned long skip = -phys & (size - 1);

	return len >= size && len - size >= skip;
}

/* The choice of the architecture */
static unsigned long vfio_area_any(struct file *filep, unsigned long addr,
				   unsigned long len, unsigned long pgoff,
				   unsigned long flags)
{
	return vfio_base_get_unmapped_area(filep, addr, len, pgoff, flags);
}

/* An address that is congruent to @phys modulo @size, or an error */
static unsigned long vfio_area_congruent(struct file *filep, unsigned long addr,
					 unsigned long len, unsigned long pgoff,
					 unsigned long flags, phys_addr_t phys,
					 unsigned long size)
{
	unsigned long padded = len + size - PAGE_SIZE;

	if (!vfio_area_has_page(phys, len, size) || padded < len)
		return -ENOMEM;

	addr = vfio_area_any(filep, addr, padded, pgoff, flags);
	if (IS_ERR_VALUE(addr))
		return addr;
	return addr + ((phys - addr) & (size - 1));
}

/**
 * vfio_device_get_unmapped_area - Choose an address for a mapping of a device
 * @filep: device file
 * @addr: address that the user asks for, if it is free; 0: none
 * @len: size of the mapping
 * @pgoff: offset in the file, in pages
 * @flags: MAP_FIXED and so on
 *
 * Context: for the get_unmapped_area callback of file_operations; mmap_lock
 * held for writing.
 * Return: address or error.
 */
unsigned long vfio_device_get_unmapped_area(struct file *filep,
					    unsigned long addr,
					    unsigned long len,
					    unsigned long pgoff,
					    unsigned long flags)
{
	const unsigned long sizes[] = { PUD_SIZE, PMD_SIZE };
	struct vfio_device *device = vfio_device_from_file(filep);
	unsigned long area;
	phys_addr_t phys;
	unsigned int i;

	area = vfio_area_any(filep, addr, len, pgoff, flags);
	if (flags & MAP_FIXED || (addr && area == addr) ||
	    !device->ops->region_phys ||
	    device->ops->region_phys(device, (u64)pgoff << PAGE_SHIFT, &phys))
		return area;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned long congruent =
			vfio_area_congruent(filep, addr, len, pgoff, flags,
					    phys, sizes[i]);

		if (!IS_ERR_VALUE(congruent))
			return congruent;
	}
	return area;
}
