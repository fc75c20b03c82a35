// SPDX-License-Identifier: GPL-2.0-only
/*
 * The gaps between the ranges of peer memory in one DMA mapping.
 *
 * A mapping is a run of IOVAs, [iova, end). Its ranges are disjoint, lie in it
 * and are sorted. What is between them, before the first and after the last is
 * ordinary memory.
 */

#include <linux/module.h>

#include "peer.h"

/* Go to the next gap that begins at @iova or later and is not empty */
static bool vfio_peer_gap_from(struct vfio_peer_gap *gap, dma_addr_t iova)
{
	struct vfio_peer_range *range;

	while (gap->pos != gap->ranges) {
		range = list_entry(gap->pos, struct vfio_peer_range,
				   mapping_entry);
		if (iova < range->iova) {
			gap->iova = iova;
			gap->end = range->iova;
			return true;
		}
		iova = range->iova + range->size;
		gap->pos = gap->pos->next;
	}

	gap->iova = iova;
	gap->end = gap->mapping_end;
	return iova < gap->mapping_end;
}

/**
 * vfio_peer_first_gap - Begin a walk over the gaps of a mapping
 * @gap: the first gap that is not empty
 * @ranges: list of vfio_peer_range
 * @iova: start of the mapping
 * @end: its end, exclusive
 *
 * Context: the ranges may not change during the walk.
 * Return: false when there is no gap.
 */
bool vfio_peer_first_gap(struct vfio_peer_gap *gap,
			 const struct list_head *ranges, dma_addr_t iova,
			 dma_addr_t end)
{
	gap->ranges = ranges;
	gap->pos = ranges->next;
	gap->mapping_end = end;
	return vfio_peer_gap_from(gap, iova);
}
EXPORT_SYMBOL_GPL(vfio_peer_first_gap);

/**
 * vfio_peer_next_gap - Go on with a walk
 * @gap: a gap that vfio_peer_first_gap() or this function found
 *
 * Return: false when there is no more.
 */
bool vfio_peer_next_gap(struct vfio_peer_gap *gap)
{
	return vfio_peer_gap_from(gap, gap->end);
}
EXPORT_SYMBOL_GPL(vfio_peer_next_gap);

/**
 * vfio_peer_in_range - Is there device memory at an IOVA of a mapping?
 * @ranges: list of vfio_peer_range
 * @iova: IOVA of the mapping
 *
 * Context: the ranges may not change meanwhile. Takes a step for each up to @iova.
 */
bool vfio_peer_in_range(const struct list_head *ranges, dma_addr_t iova)
{
	struct vfio_peer_range *range;

	list_for_each_entry(range, ranges, mapping_entry) {
		if (iova < range->iova + range->size)
			return iova >= range->iova;
	}
	return false;
}
EXPORT_SYMBOL_GPL(vfio_peer_in_range);
