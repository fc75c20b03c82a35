/* SPDX-License-Identifier: GPL-2.0-only */
/* A DMA engine here, a target there */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_RIG_H
#define SELFTESTS_VFIO_LIB_TYPE1_RIG_H

#include <stdbool.h>

#include "type1.h"
#include "type1_pci.h"

#define T1_EDU_BAR_SIZE	0x100000UL
#define T1_RIG_SIZE	(4 * T1_PAGE)
#define T1_RIG_RAM	0x1000000UL	/* IOVA of the RAM that edu reads from */

struct t1_rig {
	struct t1_container c;
	struct t1_device edu;
	void *bar0;
	__u32 *ram;
	unsigned int avail;	/* mappings, before that of the RAM */
};

struct t1_target {
	struct t1_container c;
	struct t1_device dev;
	__u32 *mem;
};

void t1_rig_open(struct t1_rig *rig, const char *edu);
void t1_rig_close(struct t1_rig *rig);
/* Maps T1_RIG_SIZE of @bar for the CPU. */
void t1_target_open(struct t1_target *target, const char *bdf, int bar, __u64 offset);
void t1_target_close(struct t1_target *target);
/* Let edu write @value to @iova; whether it arrives is another question. */
void t1_dma_write(struct t1_rig *rig, __u64 iova, __u32 value);
/* Does what edu writes to @iova show in @word? */
bool t1_dma_arrives(struct t1_rig *rig, __u64 iova, __u32 *word);
/*
 * Does @iova translate for edu? By the IOMMU's tables; who cannot see them looks by DMA:
 * @iova is that of a word that keeps what is written, and takes another value.
 */
bool t1_rig_translates(struct t1_rig *rig, __u64 iova);

#endif
