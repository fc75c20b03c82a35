// SPDX-License-Identifier: GPL-2.0-only
/*
 * The gaps between the ranges of peer memory in one DMA mapping.
 *
 * A mapping is a run of IOVAs. Its ranges are disjoint, lie in it and are
 * sorted. The rest of the mapping is ordinary memory: before the first range,
 * between ranges, and after the last one.
 *
 * A mapping may end with the last IOVA of all, so an IOVA behind it may not
 * exist. A walk counts in bytes from the mapping's start instead.
 */

#include <linux/module.h>

#include "peer.h"

/* Go to the next gap that begins at @offset or later and is not empty */
static bool vfio_peer_gap_from(struct vfio_peer_gap *gap, u64 offset)
{
	u64 end = gap->mapping_size;
	struct vfio_peer_range *range;

	for (; gap->pos != gap->ranges; gap->pos = gap->pos->next) {
		range = list_entry(gap->pos, struct vfio_peer_range,
				   mapping_entry);
		if (offset < range->iova - gap->mapping_iova) {
			end = range->iova - gap->mapping_iova;
			break;
		}
		offset = range->iova - gap->mapping_iova + range->size;
	}

	gap->iova = gap->mapping_iova + offset;
	gap->size = end - offset;
	return gap->size;
}

/**
 * vfio_peer_first_gap - Begin a walk over the gaps of a mapping
 * @gap: the first gap that is not empty
 * @ranges: list of vfio_peer_range
 * @iova: start of the mapping
 * @size: its size, in bytes
 *
 * Context: the ranges may not change during the walk.
 * Return: false when there is no gap.
 */
bool vfio_peer_first_gap(struct vfio_peer_gap *gap,
			 const struct list_head *ranges, dma_addr_t iova,
			 u64 size)
{
	gap->ranges = ranges;
	gap->pos = ranges->next;
	gap->mapping_iova = iova;
	gap->mapping_size = size;
	return vfio_peer_gap_from(gap, 0);
}
EXPORT_SYMBOL_GPL(vfio_peer_first_gap);

/**
 * vfio_peer_next_gap - Go on with a walk
 * @gap: result of vfio_peer_first_gap() or of this function, or the rest of it
 *
 * Return: false when there is no more.
 */
bool vfio_peer_next_gap(struct vfio_peer_gap *gap)
{
	return vfio_peer_gap_from(gap, gap->iova - gap->mapping_iova + gap->size);
}
EXPORT_SYMBOL_GPL(vfio_peer_next_gap);
