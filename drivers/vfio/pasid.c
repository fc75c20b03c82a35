// SPDX-License-Identifier: GPL-2.0-only
/*
 * What user space asks for through a container: PASIDs, and information on them.
 * Whose they are is told in pasid_owner.c.
 */

#include <linux/iommu.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "pasid.h"
#include "pasid_owner.h"

struct vfio_pasid_hw {
	u32 pasids;
	bool devices;
};

/* What the function can have enabled */
static u32 vfio_pasid_pci_limit(struct pci_dev *pdev)
{
	int pasids;

	/* A VF uses its PF's capability, if the PF's driver has enabled that */
	if (pdev->is_virtfn && !pci_physfn(pdev)->pasid_enabled)
		return 0;
	pdev = pci_physfn(pdev);
	/* Each bridge above it has to let prefixes pass, unless there are none */
	if (!pdev->eetlp_prefix_path && !pdev->pasid_no_tlp)
		return 0;
	/* Nothing can be read from a device that has no power, until it is opened */
	if (pdev->current_state == PCI_D3cold)
		return 0;
	pasids = pci_max_pasids(pdev);
	/* Below a bridge that is asleep, all bits are read as ones */
	return pasids > 0 && pasids <= PASID_NUMBER_MAX + 1 ? pasids : 0;
}

static int vfio_pasid_device_limit(struct device *dev, void *data)
{
	struct vfio_pasid_hw *hw = data;
	u32 pasids = 0;

	if (dev_is_pci(dev) && dev->iommu)
		pasids = min(dev->iommu->iommu_dev->max_pasids,
			     vfio_pasid_pci_limit(to_pci_dev(dev)));
	hw->pasids = min(hw->pasids, pasids);
	hw->devices = true;
	return 0;
}

/**
 * vfio_pasid_hw_limit - Lower a limit to what the devices of a group translate
 * @group: group of devices behind an IOMMU
 * @max_pasid: highest PASID that the IOMMU translates for all devices so far;
 *             becomes 0 when there is none, or no device
 */
void vfio_pasid_hw_limit(struct iommu_group *group, u32 *max_pasid)
{
	struct vfio_pasid_hw hw = { .pasids = *max_pasid + 1 };

	iommu_group_for_each_dev(group, &hw, vfio_pasid_device_limit);
	*max_pasid = hw.devices && hw.pasids ? hw.pasids - 1 : 0;
}
EXPORT_SYMBOL_GPL(vfio_pasid_hw_limit);

/**
 * vfio_pasid_info - Add the PASID capability to a container's information
 * @pc: container
 * @hw_max_pasid: highest PASID that the hardware of the container translates
 * @caps: chain to add to
 *
 * Context: may sleep; inside of the backend's lock.
 * Return: 0 or -ENOMEM.
 */
int vfio_pasid_info(struct vfio_pasid_container *pc, u32 hw_max_pasid,
		    struct vfio_info_cap *caps)
{
	struct vfio_iommu_type1_info_cap_pasid cap = {
		.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_PASID,
		.header.version = 1,
		.max_pasid = PASID_NUMBER_MAX,
		.hw_max_pasid = hw_max_pasid,
	};

	vfio_pasid_usage(pc, &cap.quota, &cap.used);
	return vfio_info_add_capability(caps, &cap.header, sizeof(cap));
}
EXPORT_SYMBOL_GPL(vfio_pasid_info);

/**
 * vfio_pasid_container_get - Use a PASID of current
 * @pc: container, which has to be current's
 * @number: PASID, from whichever of current's containers
 * @user: for pasid_get()
 *
 * Context: may sleep; takes mmap_lock, with no lock held that is taken inside of
 * that one.
 * Return: 0; -ENODEV, -EPERM, -EINTR or -ENOMEM as vfio_pasid_request(), -ENOENT
 * or -EACCES as pasid_get().
 */
int vfio_pasid_container_get(struct vfio_pasid_container *pc, u32 number,
			     struct pasid_user *user)
{
	struct vfio_pasid_owner *owner = vfio_pasid_owner_get(pc, false);
	int ret;

	if (IS_ERR(owner))
		return PTR_ERR(owner);
	ret = pasid_get(&owner->pasids, number, user);
	vfio_pasid_owner_put(owner);
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_pasid_container_get);

/* A container of nobody becomes the owner's, unless the allocation fails */
static int vfio_pasid_do_alloc(struct vfio_pasid_container *pc,
			       struct vfio_pasid_owner *owner,
			       struct vfio_iommu_type1_pasid_request *req)
{
	int claimed, ret;

	mutex_lock(&owner->lock);
	claimed = vfio_pasid_claim(pc, owner);
	ret = claimed;
	if (ret >= 0)
		ret = pasid_alloc(&pc->pool, req->min, req->max);
	if (ret < 0 && claimed > 0)
		vfio_pasid_leave(pc, owner);
	mutex_unlock(&owner->lock);
	if (ret < 0)
		return ret;
	req->pasid = ret;
	req->count = 1;
	return 0;
}

static int vfio_pasid_do_free(struct vfio_pasid_owner *owner,
			      struct vfio_iommu_type1_pasid_request *req)
{
	long ret = pasid_free(&owner->pasids, req->min, req->max);

	if (ret < 0)
		return ret;
	req->count = ret;
	return 0;
}

static int vfio_pasid_execute(struct vfio_pasid_container *pc,
			      struct vfio_iommu_type1_pasid_request *req)
{
	bool alloc = req->flags & VFIO_IOMMU_PASID_REQUEST_ALLOC;
	struct vfio_pasid_owner *owner = vfio_pasid_owner_get(pc, alloc);
	int ret;

	if (IS_ERR(owner))
		return PTR_ERR(owner);
	ret = alloc ? vfio_pasid_do_alloc(pc, owner, req) :
		      vfio_pasid_do_free(owner, req);
	vfio_pasid_owner_put(owner);
	return ret;
}

static bool vfio_pasid_request_valid(const struct vfio_iommu_type1_pasid_request *req)
{
	if (req->flags != VFIO_IOMMU_PASID_REQUEST_ALLOC &&
	    req->flags != VFIO_IOMMU_PASID_REQUEST_FREE)
		return false;
	return req->min && req->min <= req->max && req->max <= PASID_NUMBER_MAX;
}

/**
 * vfio_pasid_request - VFIO_IOMMU_PASID_REQUEST
 * @pc: container
 * @arg: user address of a struct vfio_iommu_type1_pasid_request
 *
 * Context: process context with an mm, no lock held.
 * Return: 0, or one of the errors that the uAPI header lists.
 */
int vfio_pasid_request(struct vfio_pasid_container *pc, unsigned long arg)
{
	struct vfio_iommu_type1_pasid_request __user *ureq = (void __user *)arg;
	struct vfio_iommu_type1_pasid_request req;
	size_t minsz = offsetofend(struct vfio_iommu_type1_pasid_request, count);
	u32 argsz;
	int ret;

	if (get_user(argsz, &ureq->argsz))
		return -EFAULT;
	if (argsz < minsz)
		return -EINVAL;
	if (copy_from_user(&req, ureq, minsz))
		return -EFAULT;
	if (!vfio_pasid_request_valid(&req))
		return -EINVAL;

	ret = vfio_pasid_execute(pc, &req);
	if (!ret && copy_to_user(ureq, &req, minsz))
		ret = -EFAULT;
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_pasid_request);
