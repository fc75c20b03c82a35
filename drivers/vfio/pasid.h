/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PASIDs of a container: what the IOMMU backend embeds and calls. See pasid.c.
 */
#ifndef VFIO_PASID_H
#define VFIO_PASID_H

#include <linux/err.h>
#include <linux/pasid_pool.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>

struct iommu_group;
struct seq_file;
struct vfio_info_cap;
struct vfio_pasid_owner;

/**
 * struct vfio_pasid_container - a container as a place to get PASIDs from
 * @lock: protects all that follows. PASIDs are allocated in @pool, and it comes and
 *        goes, with it held; to free some takes no more than the pool's own lock.
 * @owner: the mm that the container belongs to; NULL until somebody asks. To
 *         change it takes vfio_pasid_owners_lock as well, so either is enough to
 *         read it.
 * @pool: the PASIDs that were allocated here, while there is an @owner
 * @groups: groups attached
 */
struct vfio_pasid_container {
#if IS_ENABLED(CONFIG_VFIO_PASID)
	struct mutex lock;	/* all that follows */
	struct vfio_pasid_owner *owner;
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
struct pasid_owner *vfio_pasid_lock(struct vfio_pasid_container *pc);
void vfio_pasid_unlock(struct vfio_pasid_container *pc);
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

static inline struct pasid_owner *
vfio_pasid_lock(struct vfio_pasid_container *pc)
{
	return ERR_PTR(-ENODEV);
}

static inline void vfio_pasid_unlock(struct vfio_pasid_container *pc)
{
}
#endif

#endif
