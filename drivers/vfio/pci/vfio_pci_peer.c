// SPDX-License-Identifier: GPL-2.0-only
/*
 * When a PCI function's BARs can be the target of DMA, and when not.
 *
 * Containers may translate to a BAR only while the function decodes memory and
 * its BARs are what they were at open.
 *
 * What the user does is a memory change: vfio_pci_begin_memory_change(), the
 * change, and then vfio_pci_end_memory_change(), the one place that decides
 * whether memory is on. In between, memory_lock is held for writing, and if
 * memory may go off neither a CPU nor an IOMMU reaches the BARs.
 *
 * Resets and error recovery come by callbacks of the PCI core, also those that
 * VFIO asked for, with the device lock, config space access or pci_bus_sem
 * held. They take no lock of ours that could wait for any of these: each only
 * sets or removes a reason of its own to block the BARs. CPU mappings stay
 * usable meanwhile: a VM shall not die of SIGBUS because its host resets a device.
 *
 *	dev_set->lock -> memory_lock -> vfs_lock -> vfio_peers.walk
 *
 * A PF's reset takes the memory of its VFs away, too, and so may an error: both
 * block them.
 */

#include <linux/pci.h>
#include <linux/vfio_pci_core.h>
#include <linux/vfio_peer.h>

#include "vfio_pci_priv.h"

/* Under memory_lock; vconfig exists only while memory_used */
static bool vfio_pci_memory_on(struct vfio_pci_core_device *vdev)
{
	return vdev->memory_used && !vdev->pm_runtime_engaged &&
	       __vfio_pci_memory_enabled(vdev);
}

/* A VF's BARs are in its PF, and so is what enables them: a reset clears it */
static bool vfio_pci_vf_memory_on(struct pci_dev *vf)
{
	struct pci_dev *pf = pci_physfn(vf);
	int pos = pci_find_ext_capability(pf, PCI_EXT_CAP_ID_SRIOV);
	u16 ctrl;

	if (!pos)
		return false;
	pci_read_config_word(pf, pos + PCI_SRIOV_CTRL, &ctrl);
	return (ctrl & PCI_SRIOV_CTRL_MSE) && !PCI_POSSIBLE_ERROR(ctrl);
}

/*
 * Resets and error recovery may have lost BARs: a reset restores what it found.
 * Not by vfio_need_bar_restore(), which waits until the reset that calls us ends.
 */
static bool vfio_pci_bars_lost(struct vfio_pci_core_device *vdev)
{
	u32 bar;
	int i;

	if (vdev->pdev->is_virtfn)
		return !vfio_pci_vf_memory_on(vdev->pdev);

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		if (!vdev->rbar[i])
			continue;
		pci_read_config_dword(vdev->pdev, PCI_BASE_ADDRESS_0 + 4 * i,
				      &bar);
		if (bar != vdev->rbar[i])
			return true;
	}
	return false;
}

/*
 * Also the end of what error recovery has lost, if the BARs are back. Others may
 * reset, restore and look meanwhile: who decides last has looked after it.
 */
static void vfio_pci_check_bars(struct vfio_pci_core_device *vdev)
{
	int looks = 10;
	bool lost;

	do {
		/* Those of a device that tells now this, now that, are lost */
		lost = !--looks || vfio_pci_bars_lost(vdev);
		if (lost)
			vfio_peers_block(&vdev->vdev, VFIO_PEER_ERROR);
		else
			vfio_peers_unblock(&vdev->vdev, VFIO_PEER_ERROR);
	} while (looks && lost != vfio_pci_bars_lost(vdev));
}

/**
 * vfio_pci_begin_memory_change - Begin what may turn memory on or off
 * @vdev: device
 * @off: memory may go off or BARs may lose their contents, if only for a time
 *
 * With @off, neither CPUs nor IOMMUs can reach the BARs when this returns.
 *
 * Context: takes memory_lock for writing.
 */
void vfio_pci_begin_memory_change(struct vfio_pci_core_device *vdev, bool off)
{
	if (off) {
		vfio_pci_zap_and_down_write_memory_lock(vdev);
		vfio_peers_block(&vdev->vdev, VFIO_PEER_OFF);
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
	lockdep_assert_held_write(&vdev->memory_lock);
	if (vfio_pci_memory_on(vdev)) {
		/* The user has restored BARs, or his power management */
		if (vfio_peers_blocked(&vdev->vdev, VFIO_PEER_ERROR)) {
			/* Nothing comes back by a look that is not the last */
			vfio_peers_block(&vdev->vdev, VFIO_PEER_OFF);
			vfio_pci_check_bars(vdev);
		}
		vfio_peers_unblock(&vdev->vdev, VFIO_PEER_OFF);
	} else {
		vfio_peers_block(&vdev->vdev, VFIO_PEER_OFF);
	}
	up_write(&vdev->memory_lock);
}

/**
 * vfio_pci_dev_set_begin_memory_change - Begin a change of several devices
 * @dev_set: all devices of it
 *
 * Context: the dev_set's lock is held. Takes all memory_locks for writing.
 * Return: 0, or -EBUSY when another change or a fault is in the way; then
 * nothing happened.
 */
int vfio_pci_dev_set_begin_memory_change(struct vfio_device_set *dev_set)
{
	struct vfio_pci_core_device *cur;

	lockdep_assert_held(&dev_set->lock);

	/* The memory_locks of several devices have no order, so only try */
	list_for_each_entry(cur, &dev_set->device_list, vdev.dev_set_list) {
		if (!down_write_trylock(&cur->memory_lock))
			goto err_unlock;
	}

	list_for_each_entry(cur, &dev_set->device_list, vdev.dev_set_list) {
		vfio_pci_zap_bars(cur);
		vfio_peers_block(&cur->vdev, VFIO_PEER_OFF);
	}
	return 0;

err_unlock:
	list_for_each_entry_continue_reverse(cur, &dev_set->device_list,
					     vdev.dev_set_list)
		up_write(&cur->memory_lock);
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

/* A PF's VFs lose their memory with it */
static void vfio_pci_block_vfs(struct vfio_pci_core_device *pf,
			       unsigned int reason)
{
	struct vfio_pci_core_device *vf;

	mutex_lock(&pf->vfs_lock);
	pf->vfs_blocked |= reason;
	list_for_each_entry(vf, &pf->vfs, vfs_item)
		vfio_peers_block(&vf->vdev, reason);
	mutex_unlock(&pf->vfs_lock);
}

static void vfio_pci_unblock_vfs(struct vfio_pci_core_device *pf,
				 unsigned int reason)
{
	struct vfio_pci_core_device *vf;

	mutex_lock(&pf->vfs_lock);
	pf->vfs_blocked &= ~reason;
	list_for_each_entry(vf, &pf->vfs, vfs_item) {
		/* Not every VF is on a bus where recovery looks for it */
		vfio_pci_check_bars(vf);
		vfio_peers_unblock(&vf->vdev, reason);
	}
	mutex_unlock(&pf->vfs_lock);
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
	/* Nobody is told of a recovery that has failed: begin anew */
	if (use) {
		vfio_peers_unblock(&vdev->vdev, VFIO_PEER_RECOVERY);
		vfio_pci_unblock_vfs(vdev, VFIO_PEER_PF_RECOVERY);
	}
	vfio_pci_end_memory_change(vdev);
}

/**
 * vfio_pci_link_vf - From now on a VF follows its PF
 * @vf: VF whose sriov_pf_core_dev is set
 */
void vfio_pci_link_vf(struct vfio_pci_core_device *vf)
{
	struct vfio_pci_core_device *pf = vf->sriov_pf_core_dev;

	mutex_lock(&pf->vfs_lock);
	if (pf->vfs_blocked)
		vfio_peers_block(&vf->vdev, pf->vfs_blocked);
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

/**
 * vfio_pci_core_reset_prepare - The function is about to be reset
 * @pdev: function that is bound to a driver of ours
 *
 * For the reset_prepare callback of pci_error_handlers.
 *
 * Context: under the device lock, config space accesses by users blocked; for
 * resets by VFIO under memory_lock as well.
 */
void vfio_pci_core_reset_prepare(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(&pdev->dev);

	vfio_peers_block(&vdev->vdev, VFIO_PEER_RESET);
	vfio_pci_block_vfs(vdev, VFIO_PEER_PF);
}
EXPORT_SYMBOL_GPL(vfio_pci_core_reset_prepare);

/**
 * vfio_pci_core_reset_done - The function was reset and its state restored
 * @pdev: function that is bound to a driver of ours
 *
 * For the reset_done callback of pci_error_handlers.
 *
 * Context: as for vfio_pci_core_reset_prepare().
 */
void vfio_pci_core_reset_done(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(&pdev->dev);

	vfio_pci_unblock_vfs(vdev, VFIO_PEER_PF);
	/* Otherwise recovery has failed, or is about to reset the bus */
	if (pdev->error_state == pci_channel_io_normal)
		vfio_pci_check_bars(vdev);
	vfio_peers_unblock(&vdev->vdev, VFIO_PEER_RESET);
}
EXPORT_SYMBOL_GPL(vfio_pci_core_reset_done);

/**
 * vfio_pci_error_detected - Error recovery begins
 * @vdev: device
 * @state: pci_channel_io_normal if nothing is lost, and nothing will be reset
 *
 * Recovery may end in a reset, which loses the BARs. While a device does not
 * answer, no DMA reaches its BARs, and an IOMMU that has it drop translations
 * would wait for it, while the link comes up only after this: what is lost is
 * found when recovery is over.
 *
 * Context: under pci_bus_sem and the device lock.
 */
void vfio_pci_error_detected(struct vfio_pci_core_device *vdev,
			     pci_channel_state_t state)
{
	if (state == pci_channel_io_normal || !pci_device_is_present(vdev->pdev))
		return;

	vfio_peers_block(&vdev->vdev, VFIO_PEER_RECOVERY | VFIO_PEER_ERROR);
	vfio_pci_block_vfs(vdev, VFIO_PEER_PF_RECOVERY);
}

/**
 * vfio_pci_core_aer_resume - Error recovery is over
 * @pdev: function that is bound to a driver of ours
 *
 * For the resume callback of pci_error_handlers. BARs that the recovery has
 * lost come back when the user turns memory on. It is not called when recovery
 * has failed: then a new open is the end of it.
 *
 * Context: under pci_bus_sem and the device lock.
 */
void vfio_pci_core_aer_resume(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(&pdev->dev);

	vfio_pci_check_bars(vdev);
	vfio_peers_unblock(&vdev->vdev, VFIO_PEER_RECOVERY);
	vfio_pci_unblock_vfs(vdev, VFIO_PEER_PF_RECOVERY);
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
