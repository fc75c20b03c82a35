/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Peer memory in the IOVA space of a container: structures shared by the core
 * (peer.c) and the IOMMU backend. See peer.c for how they live.
 */
#ifndef VFIO_PEER_H
#define VFIO_PEER_H

#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct seq_file;
struct vfio_device;
struct vfio_peer;
struct vm_area_struct;

/**
 * struct vfio_peer_space - what of a container can be reached from a device
 * @lock: protects all that follows and the ranges' state, and serialises what
 *        is done to the domains in the list; held for calls of the IOMMU API
 *        and nothing else
 * @domains: vfio_peer_domain, which all ranges are mapped in; in a new one, not yet
 * @peers: vfio_peer, one for each device that was ever mapped
 * @revoked: vfio_peer_range, unmapped for good; their mappings shall be reaped
 * @reap: queued for each entry of @revoked
 * @nr_ranges: in the lists of @peers
 * @nr_mapped: how many of these are mapped
 * @epoch: counts the domains that were ever added
 */
struct vfio_peer_space {
	struct mutex lock;	/* all that follows */
	struct list_head domains;
	struct list_head peers;
	struct list_head revoked;
	struct work_struct reap;
	unsigned long nr_ranges;
	unsigned long nr_mapped;
	u64 epoch;
};

/**
 * struct vfio_peer_domain - an IOMMU domain of a container
 * @entry: in vfio_peer_space.domains, under its lock
 * @domain: constant while in the list
 * @epoch: ranges that are mapped and have this one or a later one are mapped in
 *         @domain; constant while in the list
 * @filling: it may be given up still; under vfio_peer_space.lock
 * @error: why it has to be; under vfio_peer_space.lock
 */
struct vfio_peer_domain {
	struct list_head entry;
	struct iommu_domain *domain;
	u64 epoch;
	bool filling;
	int error;
};

/**
 * struct vfio_peer_range - the part of a DMA mapping that is one device's memory
 * @mapping_entry: in the mapping's list, by IOVA; under the backend's lock
 * @peer_entry: in vfio_peer.ranges or vfio_peer_space.revoked
 * @iova: first IOVA
 * @phys: first physical address
 * @size: in bytes
 * @epoch: vfio_peer_space.epoch when it was mapped, or that of the domain which has
 *         got it since
 * @prot: IOMMU_READ, IOMMU_WRITE
 * @mapped: in the domains of the space; otherwise suspended or revoked
 * @revoked: in vfio_peer_space.revoked
 *
 * vfio_peer_space.lock protects @peer_entry, @epoch, @mapped and @revoked. The
 * rest is constant.
 */
struct vfio_peer_range {
	struct list_head mapping_entry;
	struct list_head peer_entry;
	dma_addr_t iova;
	phys_addr_t phys;
	size_t size;
	u64 epoch;
	int prot;
	bool mapped;
	bool revoked;
};

/**
 * struct vfio_peer_gap - walk over what of a mapping is not device memory
 * @iova: first IOVA of this gap
 * @end: its end, exclusive
 * @ranges: the mapping's list
 * @pos: range that ends this gap, or @ranges
 * @mapping_end: end of the mapping, exclusive
 */
struct vfio_peer_gap {
	dma_addr_t iova;
	dma_addr_t end;
	const struct list_head *ranges;
	const struct list_head *pos;
	dma_addr_t mapping_end;
};

bool vfio_peer_first_gap(struct vfio_peer_gap *gap,
			 const struct list_head *ranges, dma_addr_t iova,
			 dma_addr_t end);
bool vfio_peer_next_gap(struct vfio_peer_gap *gap);
bool vfio_peer_in_range(const struct list_head *ranges, dma_addr_t iova);

/* Device side, for vfio_main.c */
int vfio_peers_init(struct vfio_device *device);
void vfio_peers_revoke(struct vfio_device *device);
void vfio_peers_release(struct vfio_device *device);

/* Container side, for the IOMMU backend */
void vfio_peer_space_init(struct vfio_peer_space *space, work_func_t reap);
void vfio_peer_space_destroy(struct vfio_peer_space *space);
void vfio_peer_domain_add(struct vfio_peer_space *space,
			  struct vfio_peer_domain *pd,
			  struct iommu_domain *domain);
int vfio_peer_domain_fill(struct vfio_peer_space *space,
			  struct vfio_peer_domain *pd,
			  const struct list_head *ranges);
int vfio_peer_domain_filled(struct vfio_peer_space *space,
			    struct vfio_peer_domain *pd);
int vfio_peer_attach_group(struct vfio_peer_space *space,
			   struct iommu_domain *domain,
			   struct iommu_group *group);
void vfio_peer_detach_group(struct vfio_peer_space *space,
			    struct vfio_peer_domain *pd,
			    struct iommu_group *group, bool last);
bool vfio_peer_vma(struct vm_area_struct *vma);
ssize_t vfio_peer_map(struct vfio_peer_space *space, struct list_head *ranges,
		      unsigned long vaddr, dma_addr_t iova, size_t size,
		      int prot);
unsigned int vfio_peer_unmap(struct vfio_peer_space *space,
			     struct list_head *ranges);
void vfio_peer_space_show(struct vfio_peer_space *space, struct seq_file *m);
bool vfio_peer_revoked(struct vfio_peer_space *space, dma_addr_t *iova);

#endif
