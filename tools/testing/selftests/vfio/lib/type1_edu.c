// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's edu device copies between its own buffer and the bus, through the
 * IOMMU. A transfer ends within 100 ms, and bit 0 of the command says so.
 */
#include <errno.h>
#include <time.h>

#include "type1.h"
#include "type1_edu.h"

#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_START	1
#define EDU_DMA_TO_BUS	2

static void write_reg(void *bar0, unsigned int reg, __u64 value)
{
	__atomic_store_n((__u64 *)((char *)bar0 + reg), value, __ATOMIC_RELEASE);
}

static __u64 read_reg(void *bar0, unsigned int reg)
{
	return __atomic_load_n((__u64 *)((char *)bar0 + reg), __ATOMIC_ACQUIRE);
}

static int run(void *bar0, __u64 src, __u64 dst, unsigned int size, __u64 cmd)
{
	/* Each look costs an emulated CPU as much as a millisecond. */
	const struct timespec pause = { .tv_nsec = 10000000 };
	int left = 100;

	write_reg(bar0, EDU_DMA_SRC, src);
	write_reg(bar0, EDU_DMA_DST, dst);
	write_reg(bar0, EDU_DMA_COUNT, size);
	write_reg(bar0, EDU_DMA_CMD, cmd | EDU_DMA_START);
	while (read_reg(bar0, EDU_DMA_CMD) & EDU_DMA_START) {
		if (!left--)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return 0;
}

int __edu_dma_from(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size)
{
	return run(bar0, iova, EDU_BUF + buf_offset, size, 0);
}

int __edu_dma_to(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size)
{
	return run(bar0, EDU_BUF + buf_offset, iova, size, EDU_DMA_TO_BUS);
}

void edu_dma_from(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size)
{
	T1_ASSERT_OK(__edu_dma_from(bar0, iova, buf_offset, size));
}

void edu_dma_to(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size)
{
	T1_ASSERT_OK(__edu_dma_to(bar0, iova, buf_offset, size));
}
