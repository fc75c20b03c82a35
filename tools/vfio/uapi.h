/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * <linux/vfio.h>, and definitions that an old installed one may lack. The
 * running kernel may lack them, too: the program asks it.
 */
#ifndef TOOLS_VFIO_UAPI_H
#define TOOLS_VFIO_UAPI_H

#include <linux/types.h>
#include <linux/vfio.h>

#ifndef VFIO_PASID_ALLOC
#define VFIO_PASID_ALLOC		16
#endif

#ifndef VFIO_DMA_PEER_REVOKE
#define VFIO_DMA_PEER_REVOKE		17
#endif

#ifndef VFIO_IOMMU_TYPE1_INFO_CAP_PASID
#define VFIO_IOMMU_TYPE1_INFO_CAP_PASID	16

struct vfio_iommu_type1_info_cap_pasid {
	struct	vfio_info_cap_header header;
	__u32	flags;
	__u32	max_pasid;
	__u32	hw_max_pasid;
	__u32	quota;
	__u32	used;
	__u32	__reserved;
};
#endif

#ifndef VFIO_IOMMU_PASID_REQUEST
struct vfio_iommu_type1_pasid_request {
	__u32	argsz;
	__u32	flags;
#define VFIO_IOMMU_PASID_REQUEST_ALLOC	(1 << 0)
#define VFIO_IOMMU_PASID_REQUEST_FREE	(1 << 1)
	__u32	min;
	__u32	max;
	__u32	pasid;
	__u32	count;
};

#define VFIO_IOMMU_PASID_REQUEST	_IO(VFIO_TYPE, VFIO_BASE + 27)
#endif

#ifndef VFIO_IOMMU_SPACE_CREATE
struct vfio_iommu_type1_space_create {
	__u32	argsz;
	__u32	flags;
	__s32	device;
	__u32	__reserved;
};

#define VFIO_IOMMU_SPACE_CREATE	_IO(VFIO_TYPE, VFIO_BASE + 28)
#endif

#ifndef VFIO_DEVICE_FEATURE_PASID
struct vfio_device_feature_pasid {
	__u32	flags;
#define VFIO_DEVICE_PASID_ATTACH	(1 << 0)
#define VFIO_DEVICE_PASID_DETACH	(1 << 1)
#define VFIO_DEVICE_PASID_SYSTEM	(1 << 2)
	__u32	pasid;
	__s32	space;
	__u32	max_pasid;
};

#define VFIO_DEVICE_FEATURE_PASID	0x1001
#endif

#endif
