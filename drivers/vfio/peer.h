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

struct mm_struct;
struct seq_file;
struct vfio_device;
struct vfio_peer;
struct vm_area_struct;

/**
 * struct vfio_peer_space - the part of a container that a device can reach
 * @lock: protects all that follows and the ranges' state, and serialises calls
 *        for the domains in the list; held for calls of the IOMMU API and
 *        nothing else
 * @domains: vfio_peer_domain; each has all mapped ranges, a new one not yet
 * @peers: vfio_peer, one for each device that was ever mapped
 * @revoked: vfio_peer_range, unmapped for good; their mappings shall be reaped
 * @work: queued for each entry of @revoked
 * @nr_ranges: number of ranges in the lists of @peers
 * @nr_mapped: number of these that are mapped
 * @nr_revoked: number of ranges in @revoked
 * @epoch: counts the domains that were ever added
 * @max_ranges: limit for the ranges of each device; constant
 * @reap: function that @work calls; constant
 * @retry: last wait of @work, in jiffies; only for @work
 */
struct vfio_peer_space {
	struct mutex lock;	/* all that follows */
	struct list_head domains;
	struct list_head peers;
	struct list_head revoked;
	struct delayed_work work;
	unsigned long nr_ranges;
	unsigned long nr_mapped;
	unsigned long nr_revoked;
	u64 epoch;
	unsigned int max_ranges;
	bool (*reap)(struct vfio_peer_space *space);
	unsigned long retry;
};

/**
 * struct vfio_peer_domain - an IOMMU domain of a container
 * @entry: in vfio_peer_space.domains, under its lock
 * @domain: of the IOMMU API; constant while in the list
 * @epoch: mapped ranges with this epoch or a later one are mapped in @domain;
 *         constant while in the list
 * @filling: the domain may still be given up; under vfio_peer_space.lock
 * @error: reason to give it up; under vfio_peer_space.lock
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
 * @peer_entry: in vfio_peer.ranges or vfio_peer_space.revoked; not for a hole
 * @peer: NULL once the range is revoked, and for a hole
 * @iova: first IOVA
 * @phys: first physical address
 * @size: in bytes
 * @epoch: vfio_peer_space.epoch at the last map, or the epoch of a domain that
 *         got the range later
 * @prot: IOMMU_READ, IOMMU_WRITE
 * @small: mapped with the smallest pages of the IOMMU
 * @counted: counts as one of the container's mappings, together with all ranges
 *           up to the next counted one
 * @mapped: in the domains of the space; otherwise suspended or revoked
 * @hole: no peer's memory, and never mapped: see vfio_peer_skip()
 *
 * vfio_peer_space.lock protects @peer_entry, @peer, @epoch and @mapped. The
 * rest is constant.
 */
struct vfio_peer_range {
	struct list_head mapping_entry;
	struct list_head peer_entry;
	struct vfio_peer *peer;
	dma_addr_t iova;
	phys_addr_t phys;
	size_t size;
	u64 epoch;
	int prot;
	bool small;
	bool counted;
	bool mapped;
	bool hole;
};

/**
 * struct vfio_peer_request - device memory to be mapped for DMA
 * @mm: address space of the process; has users
 * @vaddr: address there, page aligned
 * @iova: first IOVA, not mapped yet
 * @size: bytes to map at most
 * @prot: IOMMU_READ, IOMMU_WRITE
 * @small: map with the smallest pages of the IOMMU
 */
struct vfio_peer_request {
	struct mm_struct *mm;
	unsigned long vaddr;
	dma_addr_t iova;
	size_t size;
	int prot;
	bool small;
};

/**
 * struct vfio_peer_gap - walk over the ordinary memory of a mapping
 * @iova: first IOVA of this gap
 * @size: its size, in bytes
 * @ranges: the mapping's list
 * @pos: range that ends this gap, or @ranges
 * @mapping_iova: first IOVA of the mapping
 * @mapping_size: its size, in bytes
 *
 * A gap or a mapping may end with the last IOVA of all, so there is no
 * exclusive end. A caller that takes a part from the start of the gap moves
 * @iova and makes
 * @size less.
 */
struct vfio_peer_gap {
	dma_addr_t iova;
	u64 size;
	const struct list_head *ranges;
	const struct list_head *pos;
	dma_addr_t mapping_iova;
	u64 mapping_size;
};

bool vfio_peer_first_gap(struct vfio_peer_gap *gap,
			 const struct list_head *ranges, dma_addr_t iova,
			 u64 size);
bool vfio_peer_next_gap(struct vfio_peer_gap *gap);

/* Device side, for vfio_main.c */
int vfio_device_init_peers(struct vfio_device *device);
void vfio_peers_revoke(struct vfio_device *device);
void vfio_peers_release(struct vfio_device *device);

/* Container side, for the IOMMU backend */
void vfio_peer_space_init(struct vfio_peer_space *space,
			  bool (*reap)(struct vfio_peer_space *space),
			  unsigned int max_ranges);
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
phys_addr_t vfio_peer_iova_to_phys(struct vfio_peer_space *space,
				   struct iommu_domain *domain, dma_addr_t iova);
bool vfio_peer_vma(struct vm_area_struct *vma);
int vfio_peer_map(struct vfio_peer_space *space, struct list_head *ranges,
		  struct vfio_peer_request *request);
ssize_t vfio_peer_skip(struct list_head *ranges, struct mm_struct *mm,
		       unsigned long vaddr, dma_addr_t iova, size_t size);
unsigned int vfio_peer_unmap(struct vfio_peer_space *space,
			     struct list_head *ranges);
void vfio_peer_space_show(struct vfio_peer_space *space, struct seq_file *m);
unsigned long vfio_peer_nr_revoked(struct vfio_peer_space *space);
bool vfio_peer_next_revoked(struct vfio_peer_space *space, dma_addr_t *iova);
void vfio_peer_reap(struct vfio_peer_space *space);

#endif
