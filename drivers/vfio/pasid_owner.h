/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Owners of PASIDs, for requests. See pasid_owner.c.
 */
#ifndef VFIO_PASID_OWNER_H
#define VFIO_PASID_OWNER_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pasid_pool.h>
#include <linux/wait.h>

struct pid;
struct vfio_pasid_container;
struct vfio_pasid_mm;

/**
 * struct vfio_pasid_owner - whom containers belong to
 * @kref: see the head of pasid_owner.c
 * @lock: serialises what is done to the pools of @pasids
 * @pasids: the containers' pools belong to it; has its own lock
 * @tgid: process that asked first; constant
 * @exited: in the wait queue of @tgid
 * @entry: in vfio_pasid_owners, once it was found
 * @mm: its address space
 * @containers: vfio_pasid_container
 * @groups: attached to them, which the quota is computed from
 *
 * vfio_pasid_owners_lock protects @entry and all that follows.
 */
struct vfio_pasid_owner {
	struct kref kref;
	struct mutex lock;	/* the pools of @pasids */
	struct pasid_owner pasids;
	struct pid *tgid;
	wait_queue_entry_t exited;
	struct list_head entry;
	struct vfio_pasid_mm *mm;
	struct list_head containers;
	unsigned int groups;
};

struct vfio_pasid_owner *
vfio_pasid_owner_get(struct vfio_pasid_container *pc, bool claim);
void vfio_pasid_owner_put(struct vfio_pasid_owner *owner);
int vfio_pasid_claim(struct vfio_pasid_container *pc,
		     struct vfio_pasid_owner *owner);
void vfio_pasid_leave(struct vfio_pasid_container *pc,
		      struct vfio_pasid_owner *owner);
void vfio_pasid_usage(struct vfio_pasid_container *pc, u32 *quota, u32 *used);

#endif
