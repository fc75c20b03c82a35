/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PASIDs of a container: what the IOMMU backend embeds and calls. See pasid.c.
 */
#ifndef VFIO_PASID_H
#define VFIO_PASID_H

#include <linux/list.h>
#include <linux/moduleparam.h>
#include <linux/pasid_pool.h>

struct iommu_group;
struct seq_file;
struct vfio_info_cap;
struct vfio_pasid_owner;

/**
 * struct vfio_pasid_container - a container as a place to get PASIDs from
 * @owner: whose the container is; NULL until somebody allocates
 * @entry: in vfio_pasid_owner.containers, while there is an @owner
 * @pool: the PASIDs that were allocated here, while there is an @owner; to use it
 *        takes the owner's lock
 * @groups: groups attached
 *
 * vfio_pasid_owners_lock protects all but @pool. To take the container from its
 * owner needs the owner's lock as well.
 */
struct vfio_pasid_container {
#if IS_ENABLED(CONFIG_VFIO_PASID)
	struct vfio_pasid_owner *owner;
	struct list_head entry;
	struct pasid_pool pool;
	unsigned int groups;
#endif
};

#if IS_ENABLED(CONFIG_VFIO_PASID)
extern const struct kernel_param_ops vfio_pasids_per_group_ops;

void vfio_pasid_container_init(struct vfio_pasid_container *pc);
void vfio_pasid_container_destroy(struct vfio_pasid_container *pc);
void vfio_pasid_attach_group(struct vfio_pasid_container *pc);
void vfio_pasid_detach_group(struct vfio_pasid_container *pc);
void vfio_pasid_hw_limit(struct iommu_group *group, u32 *max_pasid);
int vfio_pasid_info(struct vfio_pasid_container *pc, u32 hw_max_pasid,
		    struct vfio_info_cap *caps);
int vfio_pasid_request(struct vfio_pasid_container *pc, unsigned long arg);
void vfio_pasid_show(struct vfio_pasid_container *pc, struct seq_file *m);
int vfio_pasid_container_get(struct vfio_pasid_container *pc, u32 number,
			     struct pasid_user *user);
void vfio_pasid_exit(void);
#else
static inline void vfio_pasid_container_init(struct vfio_pasid_container *pc)
{
}

static inline void vfio_pasid_container_destroy(struct vfio_pasid_container *pc)
{
}

static inline void vfio_pasid_attach_group(struct vfio_pasid_container *pc)
{
}

static inline void vfio_pasid_detach_group(struct vfio_pasid_container *pc)
{
}

static inline void vfio_pasid_hw_limit(struct iommu_group *group,
				       u32 *max_pasid)
{
}

static inline int vfio_pasid_info(struct vfio_pasid_container *pc,
				  u32 hw_max_pasid, struct vfio_info_cap *caps)
{
	return 0;
}

static inline int vfio_pasid_request(struct vfio_pasid_container *pc,
				     unsigned long arg)
{
	return -ENOTTY;
}

static inline void vfio_pasid_show(struct vfio_pasid_container *pc,
				   struct seq_file *m)
{
}

static inline int vfio_pasid_container_get(struct vfio_pasid_container *pc,
					   u32 number, struct pasid_user *user)
{
	return -ENODEV;
}

static inline void vfio_pasid_exit(void)
{
}
#endif

#endif
