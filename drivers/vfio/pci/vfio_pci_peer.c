// SPDX-License-Identifier: GPL-2.0-only
/*
 * Times at which the BARs of a PCI function can be the target of DMA.
 *
 * Containers may translate to a BAR only while the function decodes memory and
 * its BARs are the same as at open.
 *
 * An action of the user is a memory change: vfio_pci_begin_memory_change(), the
 * change, and then vfio_pci_end_memory_change(). The last one is the only place
 * that decides whether memory is on. In between, memory_lock is held for
 * writing. If memory may go off, neither a CPU nor an IOMMU reaches the BARs.
 * System sleep is a memory change as well: its callbacks hold only the device
 * lock.
 *
 * Resets and error recovery come by callbacks of the PCI core, also the resets
 * that VFIO asked for. The device lock, config space access or pci_bus_sem is
 * held. The callbacks take no lock of this driver that could wait for any of
 * these: each only sets or removes a reason of its own to block the BARs. CPU
 * mappings stay usable meanwhile: a VM shall not die of SIGBUS when its host
 * resets a device.
 *
 *	dev_set->lock -> memory_lock -> vfs_lock -> bars_lock -> vfio_peers.walk
 *
 * A PF's reset takes the memory of its VFs away, too, and an error may do so.
 * Both block the VFs.
 *
 * Recovery holds no lock between its callbacks, and so before it resets the
 * bus. A device that is opened or closed meanwhile stays blocked. The comment
 * of vfio_pci_recovery_over() explains how the end is known.
 */

#include <linux/pci.h>
#include <linux/pm_runtime.h>
#include <linux/vfio_pci_core.h>
#include <linux/vfio_peer.h>

#include "vfio_pci_priv.h"

/* Under memory_lock; vconfig exists only while memory_used */
static bool vfio_pci_memory_on(struct vfio_pci_core_device *vdev)
{
	return vdev->memory_used && !vdev->pm_runtime_engaged &&
	       __vfio_pci_memory_enabled(vdev);
}

/* A VF's BARs are in its PF, as is their enable bit, which a reset clears */
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
 * Resets and error recovery may have lost BARs: a reset restores the values
 * that it found. vfio_need_bar_restore() is of no use here, because it would
 * wait for the end of the reset that is the caller.
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
 * Compare the BARs with those at open, and block or unblock accordingly. Each
 * reset or restore of BARs calls this afterwards. bars_lock keeps the result of
 * an older comparison from replacing that of a newer one.
 */
static void vfio_pci_check_bars(struct vfio_pci_core_device *vdev)
{
	mutex_lock(&vdev->bars_lock);
	if (vfio_pci_bars_lost(vdev))
		vfio_peers_block(&vdev->vdev, VFIO_PEER_ERROR);
	else
		vfio_peers_unblock(&vdev->vdev, VFIO_PEER_ERROR);
	mutex_unlock(&vdev->bars_lock);
}

/**
 * vfio_pci_begin_memory_change - Begin a change that may turn memory on or off
 * @vdev: device
 * @off: memory may go off or BARs may lose their contents, if only for a time
 *
 * With @off, neither CPUs nor IOMMUs can reach the BARs on return.
 *
 * Context: takes memory_lock for writing.
 */
void vfio_pci_begin_memory_change(struct vfio_pci_core_device *vdev, bool off)
{
	down_write(&vdev->memory_lock);
	if (off) {
		vfio_pci_zap_bars(vdev);
		vfio_peers_block(&vdev->vdev, VFIO_PEER_OFF);
	}
}

/**
 * vfio_pci_end_memory_change - End a vfio_pci_begin_memory_change()
 * @vdev: device
 */
void vfio_pci_end_memory_change(struct vfio_pci_core_device *vdev)
{
	lockdep_assert_held_write(&vdev->memory_lock);
	if (vfio_pci_memory_on(vdev)) {
		/* The user, or its power management, has restored BARs */
		if (vfio_peers_blocked(&vdev->vdev, VFIO_PEER_ERROR))
			vfio_pci_check_bars(vdev);
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
 * Return: 0, or -EBUSY if another change or a fault is under way; then nothing
 * has happened.
 */
int vfio_pci_dev_set_begin_memory_change(struct vfio_device_set *dev_set)
{
	struct vfio_pci_core_device *cur;

	lockdep_assert_held(&dev_set->lock);

	/* The memory_locks of several devices have no order, so try only */
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
 * @dev_set: of a successful vfio_pci_dev_set_begin_memory_change()
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
		/* Recovery does not visit the bus of every VF */
		vfio_pci_check_bars(vf);
		vfio_peers_unblock(&vf->vdev, reason);
	}
	mutex_unlock(&pf->vfs_lock);
}

/**
 * vfio_pci_use_memory - The device was opened, or is about to be closed
 * @vdev: device
 * @use: its config space may be read from now on, or no longer
 *
 * Runtime PM and resets by the host go on while a device is closed.
 */
void vfio_pci_use_memory(struct vfio_pci_core_device *vdev, bool use)
{
	vfio_pci_begin_memory_change(vdev, false);
	vdev->memory_used = use;
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
 * Context: under the device lock, with config space accesses by users blocked;
 * for resets by VFIO under memory_lock as well.
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

	/* The PCI core left D3hot before it saved, so it saved a lost state */
	vfio_pci_restore_pm_save(vdev);
	vfio_pci_unblock_vfs(vdev, VFIO_PEER_PF);
	/* Else recovery has failed, or is about to reset the bus */
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
 * Recovery may end in a reset, which loses the BARs.
 *
 * When the link is down no DMA reaches the BARs. The translations stay until
 * recovery is over and finds the lost BARs. Dropping them now could deadlock.
 * An IOMMU asks each initiator of DMA that has an ATS cache to forget a
 * translation, and waits for the answer. In most cases the initiator is the
 * function itself, or one behind the same port. It does not answer before the
 * link is up. But it is the calling thread that brings the link up. VT-d waits
 * for ever.
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
 * vfio_pci_recovery_over - Error recovery is over, or has failed
 * @vdev: device
 *
 * Drivers are told when recovery succeeds, but not when it fails. The PCI core
 * keeps all functions awake from before their error_detected callbacks to the
 * end. So if a function is being suspended, its recovery is over.
 *
 * Context: no lock of the PCI core except those that are held in its callbacks.
 */
void vfio_pci_recovery_over(struct vfio_pci_core_device *vdev)
{
	vfio_peers_unblock(&vdev->vdev, VFIO_PEER_RECOVERY);
	vfio_pci_unblock_vfs(vdev, VFIO_PEER_PF_RECOVERY);
}

/**
 * vfio_pci_end_failed_recovery - The device is about to be opened
 * @vdev: closed device, not kept awake by VFIO
 *
 * After a failed recovery, begin anew: suspend the device once, which cannot
 * happen during recovery. It cannot happen either with the parameter
 * disable_idle_d3, if userspace has forbidden it, or while the device has VFs.
 * Then the device stays blocked until it is suspended or bound anew.
 *
 * Context: no lock of this driver inside of dev_set->lock.
 */
void vfio_pci_end_failed_recovery(struct vfio_pci_core_device *vdev)
{
	if (vfio_peers_blocked(&vdev->vdev, VFIO_PEER_RECOVERY))
		pm_runtime_suspend(&vdev->pdev->dev);
}

/**
 * vfio_pci_core_aer_resume - Error recovery has succeeded
 * @pdev: function that is bound to a driver of ours
 *
 * For the resume callback of pci_error_handlers. If recovery has lost BARs,
 * they come back when the user turns memory on.
 *
 * Context: under pci_bus_sem and the device lock.
 */
void vfio_pci_core_aer_resume(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(&pdev->dev);

	vfio_pci_check_bars(vdev);
	vfio_pci_recovery_over(vdev);
}
EXPORT_SYMBOL_GPL(vfio_pci_core_aer_resume);

#ifdef CONFIG_PM_SLEEP
/**
 * vfio_pci_core_sleep - The system is about to sleep
 * @dev: of a function that is bound to a driver of ours
 *
 * For the callbacks of dev_pm_ops that stop a device's driver. The PCI core
 * takes functions out of D0 after all drivers have stopped. It puts all of them
 * back into D0, with their old config space, before the first driver goes on.
 * Tasks of userspace are frozen, but the DMA of other devices is not.
 *
 * Context: under the device lock. No task is frozen with memory_lock held.
 * Return: 0.
 */
int vfio_pci_core_sleep(struct device *dev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(dev);

	vfio_pci_begin_memory_change(vdev, true);
	vdev->asleep = true;
	vfio_pci_end_memory_change(vdev);
	return 0;
}

/**
 * vfio_pci_core_wake - The system is awake again, or has not slept at all
 * @dev: of a function that is bound to a driver of ours
 *
 * For the callbacks of dev_pm_ops that undo those of vfio_pci_core_sleep().
 *
 * Context: under the device lock.
 * Return: 0.
 */
int vfio_pci_core_wake(struct device *dev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(dev);

	vfio_pci_begin_memory_change(vdev, false);
	vdev->asleep = false;
	/* The PCI core has left D3hot, and restored the function's state */
	if (vdev->pdev->current_state == PCI_D0)
		vfio_pci_forget_pm_save(vdev);
	vfio_pci_end_memory_change(vdev);
	return 0;
}
#endif /* CONFIG_PM_SLEEP */

/**
 * vfio_pci_core_peer_range - Physical range of a BAR's VMA
 * @core_vdev: device
 * @vma: made by vfio_pci_core_mmap()
 * @start: gets the physical address of the start of @vma
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
