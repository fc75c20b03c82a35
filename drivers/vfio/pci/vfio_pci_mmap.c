// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPU mappings of BARs: populated in pieces by faults, zapped all at once.
 *
 * Nothing here keeps a list of mappings. The files of a device share the
 * address space of its inode and VMAs keep the offset given to mmap(), so the
 * rmap knows every mapping of every process from mmap() to munmap(), through
 * fork, split and mremap.
 *
 * memory_lock decides between a fault and a zap. A fault checks that the device
 * decodes memory and inserts PTEs with the lock held for reading. A task that
 * turns memory off holds the lock for writing, from the zap on. It holds it
 * until memory is on again, or until the state that makes faults fail (command
 * register, power state, low power) is set. So there is no PTE while the user
 * has memory turned off, nor during a reset that the user asked for. The order
 * is
 *
 *	mmap_lock -> memory_lock -> i_mmap_rwsem -> page table lock
 *
 * So a zap takes no mmap_lock, in whichever process the mappings are.
 *
 * Page tables outlive a zap, and the next zap would read all of them again. A
 * guest turns memory off and on dozens of times as it boots. So a zap visits
 * only the BARs in bars_populated, which may have PTEs. A fault adds its BAR
 * with memory_lock held for reading. A zap removes all BARs with it held for
 * writing.
 *
 * fork() copies PTEs and mremap() moves them, with neither a fault nor
 * memory_lock. No copy gets past a zap. First, with i_mmap_rwsem held for
 * writing, the new VMA enters the address space, behind the old one. A zap
 * holds i_mmap_rwsem for reading, from its begin to its end. If the zap is over
 * before the new VMA enters, the old VMA has no PTEs to copy. If the zap begins
 * later, it visits the old VMA first, and then, in the new one, all PTEs that
 * were copied before. An mremap() that fails moves PTEs back, part after part,
 * with i_mmap_rwsem held for writing. Truncation of files relies on all of
 * this, too.
 */

#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/vfio_pci_core.h>

#include "vfio_pci_priv.h"

/* A VMA lies in one BAR */
static unsigned int vfio_pci_vma_bar(struct vm_area_struct *vma)
{
	return vma->vm_pgoff >> (VFIO_PCI_OFFSET_SHIFT - PAGE_SHIFT);
}

/**
 * vfio_pci_vma_pfn - Page frame of an address in a BAR's VMA
 * @vdev: device
 * @vma: made by vfio_pci_core_mmap() for a BAR
 * @addr: in @vma
 *
 * Return: page frame number.
 */
unsigned long vfio_pci_vma_pfn(struct vfio_pci_core_device *vdev,
			       struct vm_area_struct *vma, unsigned long addr)
{
	pgoff_t pgoff = linear_page_index(vma, addr);
	unsigned int bar = vfio_pci_vma_bar(vma);

	pgoff &= VFIO_PCI_OFFSET_MASK >> PAGE_SHIFT;
	return (pci_resource_start(vdev->pdev, bar) >> PAGE_SHIFT) + pgoff;
}

/**
 * vfio_pci_core_region_phys - Physical address of an offset of the device's file
 * @core_vdev: device
 * @offset: offset
 * @phys: gets the address
 *
 * For the region_phys callback of vfio_device_ops.
 *
 * Context: any, while the device is open: BARs do not move then.
 * Return: 0, or -EINVAL where there is no BAR.
 */
int vfio_pci_core_region_phys(struct vfio_device *core_vdev, u64 offset,
			      phys_addr_t *phys)
{
	struct vfio_pci_core_device *vdev =
		container_of(core_vdev, struct vfio_pci_core_device, vdev);
	u64 index = VFIO_PCI_OFFSET_TO_INDEX(offset);

	if (index >= VFIO_PCI_ROM_REGION_INDEX ||
	    !pci_resource_len(vdev->pdev, index))
		return -EINVAL;

	*phys = pci_resource_start(vdev->pdev, index) +
		(offset & VFIO_PCI_OFFSET_MASK);
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_pci_core_region_phys);

struct vfio_pci_populate {
	struct vm_area_struct *vma;
	unsigned long pfn;
	unsigned long end;
};

/*
 * Called once, for the first page, under the lock of the page table. That table
 * maps the other pages as well. A call for each page would take longer than the
 * PTE itself. Another thread may have populated some pages since the fault.
 */
static int vfio_pci_populate_ptes(pte_t *pte, unsigned long addr, void *data)
{
	struct vfio_pci_populate *p = data;
	pgprot_t prot = pgprot_decrypted(p->vma->vm_page_prot);
	unsigned long pfn = p->pfn;

	for (; addr < p->end; addr += PAGE_SIZE, pte++, pfn++) {
		if (pte_none(*pte))
			set_pte_at(p->vma->vm_mm, addr, pte,
				   pte_mkspecial(pfn_pte(pfn, prot)));
	}
	return 0;
}

/*
 * Populate the range of one page table around @addr. That takes one allocation
 * and one page table lock. The time under memory_lock does not grow with the
 * BAR, and a driver that accesses all of the BAR has few faults.
 *
 * remap_pfn_range() is of no use here. It BUGs on an entry that another thread
 * has filled. If the range is the whole VMA, it changes vm_flags, which a fault
 * may not do. Except on x86, modules cannot rely on set_pte_at(), so the page
 * tables are walked for each page there. On x86 that would take 16 times as
 * long: 880 instructions for a page instead of 56.
 */
static vm_fault_t vfio_pci_populate(struct vm_area_struct *vma,
				    unsigned long addr)
{
	unsigned long start = max(vma->vm_start, addr & PMD_MASK);
	struct vfio_pci_populate p = {
		.vma = vma,
		.pfn = vfio_pci_vma_pfn(vma->vm_private_data, vma, start),
		/* Not pmd_addr_end(): it is no bound where there are two levels */
		.end = min(vma->vm_end - 1, addr | ~PMD_MASK) + 1,
	};
	vm_fault_t ret = VM_FAULT_NOPAGE;

	if (IS_ENABLED(CONFIG_X86)) {
		if (apply_to_page_range(vma->vm_mm, start, PAGE_SIZE,
					vfio_pci_populate_ptes, &p))
			ret = VM_FAULT_OOM;
		return ret;
	}

	for (; start < p.end && ret == VM_FAULT_NOPAGE; start += PAGE_SIZE)
		ret = vmf_insert_pfn_prot(vma, start, p.pfn++,
					  pgprot_decrypted(vma->vm_page_prot));
	return ret;
}

static vm_fault_t vfio_pci_mmap_fault(struct vm_fault *vmf)
{
	struct vfio_pci_core_device *vdev = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	down_read(&vdev->memory_lock);
	if (!vdev->pm_runtime_engaged && __vfio_pci_memory_enabled(vdev)) {
		set_bit(vfio_pci_vma_bar(vmf->vma), &vdev->bars_populated);
		ret = vfio_pci_populate(vmf->vma, vmf->address);
	}
	up_read(&vdev->memory_lock);

	return ret;
}

const struct vm_operations_struct vfio_pci_mmap_ops = {
	.fault = vfio_pci_mmap_fault,
};

/**
 * vfio_pci_zap_bars - Remove every CPU mapping of a device's BARs
 * @vdev: device
 *
 * Device specific regions lie at higher offsets and stay mapped: the device
 * cannot turn their memory off.
 *
 * For a BAR that was accessed since the last zap, this takes time for each VMA,
 * in all processes, and for each page table below these VMAs, accessed or not.
 *
 * Context: caller holds memory_lock for writing, so that no fault undoes the
 * zap; takes i_mmap_rwsem. Needs no mmap_lock, and tolerates that one is held.
 */
void vfio_pci_zap_bars(struct vfio_pci_core_device *vdev)
{
	pgoff_t region = 1UL << (VFIO_PCI_OFFSET_SHIFT - PAGE_SHIFT);
	unsigned int bar;

	lockdep_assert_held_write(&vdev->memory_lock);
	/* By pages: on 32 bit, a range in bytes cannot hold a region's size */
	for_each_set_bit(bar, &vdev->bars_populated, PCI_STD_NUM_BARS)
		unmap_mapping_pages(vdev->vdev.inode->i_mapping, bar * region,
				    region, true);
	vdev->bars_populated = 0;
}
