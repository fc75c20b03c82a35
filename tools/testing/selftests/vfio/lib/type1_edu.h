/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The edu device's DMA engine, by a mapping of its BAR 0. It reaches the first
 * 256 MiB of IOVAs, unless QEMU's -device edu has a dma_mask= of more bits.
 */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_EDU_H
#define SELFTESTS_VFIO_LIB_TYPE1_EDU_H

#include <linux/types.h>

#define EDU_BUF		0x40000
#define EDU_BUF_SIZE	4096	/* a transfer that ends with it makes QEMU 7.2 abort */

/* Both wait for the end of the transfer, at most a second: -ETIMEDOUT. */
int __edu_dma_from(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size);
int __edu_dma_to(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size);
void edu_dma_from(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size);
void edu_dma_to(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size);

#endif
