// SPDX-License-Identifier: GPL-2.0-only
/*
 * When a PCI function's BARs can be the target of DMA, and when not.
 *
 * Containers may translate to a BAR only while the function decodes memory and
 * its BARs are what they were at open. Everything that changes this is one
 * memory change: vfio_pci_begin_memory_change(), the change, and then
 * vfio_pci_end_memory_change(), the one place that decides whether memory is
 * on. The order of locks is
 *
 *	dev_set->lock -> vfio_peers.cycle -> memory_lock
 *	PF's vfio_peers.cycle -> PF's vfs_lock -> VF's vfio_peers.cycle
 *
 * A PF's reset takes the memory of its VFs away, too, so they follow it.
 *
 * A reset that the host starts (sysfs, another driver of the bus) and error
 * recovery come by callbacks instead, between which no lock can be held. They
 * leave a mark, memory_lost, in one memory change, which keeps the BARs from
 * being a target until a later one removes it. CPU mappings stay usable
 * meanwhile: a VM shall not die of SIGBUS because its host resets a device.
 *
 * VFIO's own resets run such callbacks, too, inside of a memory change; these
 * are told by the task.
 */

#include <linux/pci.h>
#include <linux/vfio_pci_core.h>
#include <linux/vfio_peer.h>

#include "vfio_pci_priv.h"

static bool vfio_pci_memory_on(struct vfio_pci_core_device *vdev)
{
	return vdev->memory_used && !vdev->pm_runtime_engaged &&
	       !vdev->memory_lost && !vdev->pf_lost &&
	       __vfio_pci_memory_enabled(vdev);
}

/* Let a PF's VFs follow it; in a memory change of the PF, not in its memory_lock */
static void vfio_pci_mark_vfs(struct vfio_pci_core_device *pf, bool lost)
{
	struct vfio_pci_core_device *vf;

	mutex_lock(&pf->vfs_lock);
	list_for_each_entry(vf, &pf->vfs, vfs_item) {
		vfio_peers_lock_nested(&vf->vdev);
		vf->pf_lost = lost;
		if (lost)
			vfio_peers_suspend(&vf->vdev);
		else if (vfio_pci_memory_on(vf))
			vfio_peers_resume(&vf->vdev);
		vfio_peers_unlock(&vf->vdev);
	}
	mutex_unlock(&pf->vfs_lock);
}

/**
 * vfio_pci_link_vf - From now on a VF follows its PF
 * @vf: VF whose sriov_pf_core_dev is set
 */
void vfio_pci_link_vf(struct vfio_pci_core_device *vf)
{
	struct vfio_pci_core_device *pf = vf->sriov_pf_core_dev;

	mutex_lock(&pf->vfs_lock);
	list_add_tail(&vf->vfs_item, &pf->vfs);
	mutex_unlock(&pf->vfs_lock);
}

/**
 * vfio_pci_unlink_vf - A VF goes away
 * @vf: any device
 */
void vfio_pci_unlink_vf(struct vfio_pci_core_device *vf)
{
	struct vfio_pci_core_device *pf = vf->sriov_pf_core_dev;

	if (!pf)
		return;

	mutex_lock(&pf->vfs_lock);
	list_del(&vf->vfs_item);
	mutex_unlock(&pf->vfs_lock);
}

/* Both in a memory change; the second decides whether memory is on */
static void vfio_pci_suspend_peers(struct vfio_pci_core_device *vdev)
{
	vfio_pci_mark_vfs(vdev, true);
	vfio_peers_suspend(&vdev->vdev);
}

static void vfio_pci_resume_peers(struct vfio_pci_core_device *vdev)
{
	if (vfio_pci_memory_on(vdev))
		vfio_peers_resume(&vdev->vdev);
	vfio_pci_mark_vfs(vdev, vdev->memory_lost);
}

/**
 * vfio_pci_begin_memory_change - Begin what may turn memory on or off
 * @vdev: device
 * @off: memory may go off or BARs may lose their contents, if only for a time
 *
 * With @off, neither CPUs nor IOMMUs can reach the BARs when this returns.
 *
 * Context: takes vfio_peers.cycle and memory_lock, for writing.
 */
void vfio_pci_begin_memory_change(struct vfio_pci_core_device *vdev, bool off)
{
	vfio_peers_lock(&vdev->vdev);
	WRITE_ONCE(vdev->memory_changer, current);
	if (off) {
		vfio_pci_suspend_peers(vdev);
		vfio_pci_zap_and_down_write_memory_lock(vdev);
	} else {
		down_write(&vdev->memory_lock);
	}
}

/**
 * vfio_pci_end_memory_change - End what vfio_pci_begin_memory_change() began
 * @vdev: device
 */
void vfio_pci_end_memory_change(struct vfio_pci_core_device *vdev)
{
	/* What it looks at changes in a memory change only */
	up_write(&vdev->memory_lock);
	vfio_pci_resume_peers(vdev);
	WRITE_ONCE(vdev->memory_changer, NULL);
	vfio_peers_unlock(&vdev->vdev);
}

/**
 * vfio_pci_dev_set_begin_memory_change - Begin a change of several devices
 * @dev_set: all devices of it
 *
 * Context: the dev_set's lock is held.
 * Return: 0, or -EBUSY when another change or a fault is in the way; then all
 * mappings are as before.
 */
int vfio_pci_dev_set_begin_memory_change(struct vfio_device_set *dev_set)
{
	struct vfio_pci_core_device *cur;

	lockdep_assert_held(&dev_set->lock);

	/* The locks of several devices have no order, so only try */
	list_for_each_entry(cur, &dev_set->device_list, vdev.dev_set_list) {
		if (!vfio_peers_trylock(&cur->vdev))
			goto err_unlock_peers;
	}

	list_for_each_entry(cur, &dev_set->device_list, vdev.dev_set_list)
		vfio_pci_suspend_peers(cur);

	list_for_each_entry(cur, &dev_set->device_list, vdev.dev_set_list) {
		if (!down_write_trylock(&cur->memory_lock))
			goto err_unlock_memory;
	}

	list_for_each_entry(cur, &dev_set->device_list, vdev.dev_set_list) {
		vfio_pci_zap_bars(cur);
		WRITE_ONCE(cur->memory_changer, current);
	}
	return 0;

err_unlock_memory:
	list_for_each_entry_continue_reverse(cur, &dev_set->device_list,
					     vdev.dev_set_list)
		up_write(&cur->memory_lock);

	list_for_each_entry(cur, &dev_set->device_list, vdev.dev_set_list)
		vfio_pci_resume_peers(cur);
	/* cur has come round to the list head: all are unlocked */
err_unlock_peers:
	list_for_each_entry_continue_reverse(cur, &dev_set->device_list,
					     vdev.dev_set_list)
		vfio_peers_unlock(&cur->vdev);
	return -EBUSY;
}

/**
 * vfio_pci_dev_set_end_memory_change - End a change of several devices
 * @dev_set: what vfio_pci_dev_set_begin_memory_change() succeeded for
 */
void vfio_pci_dev_set_end_memory_change(struct vfio_device_set *dev_set)
{
	struct vfio_pci_core_device *cur;

	list_for_each_entry(cur, &dev_set->device_list, vdev.dev_set_list)
		vfio_pci_end_memory_change(cur);
}

/**
 * vfio_pci_use_memory - The device was opened, or is about to be closed
 * @vdev: device
 * @use: its config space may be looked at from now on, or no longer
 *
 * Runtime PM and resets by the host go on while a device is closed.
 */
void vfio_pci_use_memory(struct vfio_pci_core_device *vdev, bool use)
{
	vfio_pci_begin_memory_change(vdev, false);
	vdev->memory_used = use;
	vdev->memory_lost = false;
	vfio_pci_end_memory_change(vdev);
}

/**
 * vfio_pci_mark_memory - A change of memory that others do
 * @vdev: device
 * @lost: the BARs may be lost from now on; otherwise they are there again
 *
 * Context: process context; not in a memory change of the same task.
 */
void vfio_pci_mark_memory(struct vfio_pci_core_device *vdev, bool lost)
{
	vfio_pci_begin_memory_change(vdev, lost);
	vdev->memory_lost = lost;
	vfio_pci_end_memory_change(vdev);
}

static bool vfio_pci_own_change(struct vfio_pci_core_device *vdev)
{
	return READ_ONCE(vdev->memory_changer) == current;
}

/**
 * vfio_pci_core_reset_prepare - The function is about to be reset
 * @pdev: function that is bound to a driver of ours
 *
 * For the reset_prepare callback of pci_error_handlers.
 *
 * Context: under the device lock.
 */
void vfio_pci_core_reset_prepare(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(&pdev->dev);

	if (!vfio_pci_own_change(vdev))
		vfio_pci_mark_memory(vdev, true);
}
EXPORT_SYMBOL_GPL(vfio_pci_core_reset_prepare);

/**
 * vfio_pci_core_reset_done - The function was reset and its BARs restored
 * @pdev: function that is bound to a driver of ours
 *
 * For the reset_done callback of pci_error_handlers. A reset that VFIO does
 * itself is the end of what error recovery has left undone as well.
 *
 * Context: under the device lock.
 */
void vfio_pci_core_reset_done(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(&pdev->dev);

	if (vfio_pci_own_change(vdev))
		vdev->memory_lost = false;
	else
		vfio_pci_mark_memory(vdev, false);
}
EXPORT_SYMBOL_GPL(vfio_pci_core_reset_done);

/**
 * vfio_pci_core_aer_resume - Error recovery is over
 * @pdev: function that is bound to a driver of ours
 *
 * For the resume callback of pci_error_handlers. BARs that the recovery has
 * lost come back with the next reset by the user.
 *
 * Context: under pci_bus_sem and the device lock.
 */
void vfio_pci_core_aer_resume(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(&pdev->dev);

	if (!vfio_need_bar_restore(vdev))
		vfio_pci_mark_memory(vdev, false);
}
EXPORT_SYMBOL_GPL(vfio_pci_core_aer_resume);

/**
 * vfio_pci_core_peer_range - Physical range of a BAR's VMA
 * @core_vdev: device
 * @vma: made by vfio_pci_core_mmap()
 * @start: gets the physical address that the start of @vma maps to
 * @size: gets the size of @vma
 *
 * For the peer_range callback of vfio_device_ops.
 *
 * Return: 0, or -EPERM when @vma maps a device specific region.
 */
int vfio_pci_core_peer_range(struct vfio_device *core_vdev,
			     struct vm_area_struct *vma, phys_addr_t *start,
			     size_t *size)
{
	struct vfio_pci_core_device *vdev =
		container_of(core_vdev, struct vfio_pci_core_device, vdev);
	unsigned int index = vma->vm_pgoff >> (VFIO_PCI_OFFSET_SHIFT - PAGE_SHIFT);

	if (index >= VFIO_PCI_ROM_REGION_INDEX)
		return -EPERM;

	*start = PFN_PHYS(vfio_pci_vma_pfn(vdev, vma, vma->vm_start));
	*size = vma->vm_end - vma->vm_start;
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_pci_core_peer_range);
