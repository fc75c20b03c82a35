// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything that walks a container's mappings meets peer memory: a mapping of
 * RAM, one BAR, another BAR, RAM, in this order, with the memory of the first BAR
 * on, or off (then that piece is suspended), or with its device released while
 * the walker waits for the container's lock (then the mapping is to be reaped).
 *
 * Fails on stock 6.1: it maps no BAR whose memory is off, and removes no mapping
 * whose device is released.
 */
#include <errno.h>
#include <sys/mman.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL
#define TOTAL	(4 * SIZE)
#define BITS	(TOTAL / T1_PAGE)

FIXTURE(walk) {
	struct t1_rig rig;
	struct t1_target first, second;
	char *area;	/* RAM, first, second, RAM */
};

FIXTURE_VARIANT(walk) {
	bool off;	/* the first target's memory */
};

FIXTURE_VARIANT_ADD(walk, on) { .off = false };
FIXTURE_VARIANT_ADD(walk, off) { .off = true };

static void *map_over(void *addr, struct t1_target *target)
{
	return mmap(addr, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, target->dev.fd,
		    t1_bar_offset(&target->dev, 2, 0));
}

static __u32 *word(char *area, int piece)
{
	return (__u32 *)(area + piece * SIZE);
}

FIXTURE_SETUP(walk)
{
	const char *edu = t1_require(T1_EDU, 0);
	const char *first = t1_require(T1_IVSHMEM, 0), *second = t1_require(T1_IVSHMEM, 1);

	t1_rig_open(&self->rig, edu);
	t1_target_open(&self->first, first, 2, 0);
	t1_target_open(&self->second, second, 2, 0);
	self->area = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area);
	ASSERT_EQ(self->area + SIZE, map_over(self->area + SIZE, &self->first));
	ASSERT_EQ(self->area + 2 * SIZE, map_over(self->area + 2 * SIZE, &self->second));
	t1_set_memory(&self->first.dev, !variant->off);
	t1_map(&self->rig.c, self->area, IOVA, TOTAL, T1_RW);
	/* One for the mapping, one for its second piece of device memory */
	ASSERT_EQ(self->rig.avail - 3, t1_dma_avail(&self->rig.c));
}

/* A test removes the mapping, and what it was must not come back to life. */
FIXTURE_TEARDOWN(walk)
{
	t1_set_memory(&self->first.dev, true);
	ASSERT_EQ(self->rig.avail - 1, t1_dma_avail(&self->rig.c));
	EXPECT_FALSE(t1_dma_arrives(&self->rig, IOVA + SIZE, word(self->area, 1)));
	t1_rig_close(&self->rig);
	munmap(self->area, TOTAL);
	t1_target_close(&self->first);
	t1_target_close(&self->second);
}

/* All pieces whose memory is on can be reached, and the others once it is. */
#define expect_reachable(__iova, __area) do {				\
	EXPECT_TRUE(t1_dma_arrives(&self->rig, (__iova) + 2 * SIZE, word(__area, 2))); \
	t1_set_memory(&self->first.dev, true);				\
	EXPECT_TRUE(t1_dma_arrives(&self->rig, (__iova) + SIZE, word(__area, 1))); \
	EXPECT_TRUE(t1_dma_arrives(&self->rig, (__iova) + 3 * SIZE, word(__area, 3))); \
} while (0)

TEST_F(walk, unmap)
{
	expect_reachable(IOVA, self->area);
	t1_set_memory(&self->first.dev, !variant->off);
	t1_unmap(&self->rig.c, IOVA, TOTAL);
}

TEST_F(walk, unmap_of_a_part_is_refused)
{
	EXPECT_EQ(-EINVAL, __t1_unmap(&self->rig.c, IOVA, SIZE, NULL));
	EXPECT_EQ(-EINVAL, __t1_unmap(&self->rig.c, IOVA + SIZE, SIZE, NULL));
	EXPECT_EQ(-EINVAL, __t1_unmap(&self->rig.c, IOVA + SIZE, 3 * SIZE, NULL));
	expect_reachable(IOVA, self->area);
	t1_unmap(&self->rig.c, IOVA, TOTAL);
}

TEST_F(walk, unmap_all)
{
	__u64 size;

	ASSERT_EQ(0, __t1_unmap_all(&self->rig.c, &size));
	EXPECT_EQ(TOTAL + SIZE, size);
	t1_map(&self->rig.c, self->rig.ram, T1_RIG_RAM, SIZE, T1_RW);
}

TEST_F(walk, unmap_with_dirty_bitmap)
{
	struct t1_container *c = &self->rig.c;
	__u64 bitmap = 0, size;

	EXPECT_EQ(-EINVAL, __t1_unmap_dirty(c, IOVA, TOTAL, T1_PAGE, &bitmap, NULL));
	ASSERT_EQ(0, __t1_dirty_pages(c, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, 0, NULL));
	EXPECT_EQ(-EINVAL, __t1_unmap_dirty(c, IOVA, TOTAL, 2 * T1_PAGE, &bitmap, NULL));
	ASSERT_EQ(0, __t1_unmap_dirty(c, IOVA, TOTAL, T1_PAGE, &bitmap, &size));
	EXPECT_EQ(TOTAL, size);
	/* No device here says what it wrote: it may be anything it can reach. */
	EXPECT_EQ((1ULL << BITS) - 1, bitmap);
	EXPECT_EQ(0, __t1_dirty_pages(c, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, 0, 0, NULL));
}

TEST_F(walk, dirty_tracking)
{
	__u64 bitmap = 0;
	int i;

	ASSERT_EQ(0, __t1_dirty_pages(&self->rig.c, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, 0, NULL));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, __t1_dirty_pages(&self->rig.c, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
					      IOVA, TOTAL, &bitmap));
		EXPECT_EQ((1ULL << BITS) - 1, bitmap);
		t1_set_memory(&self->first.dev, variant->off == !i);
	}
	EXPECT_EQ(0, __t1_dirty_pages(&self->rig.c, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, 0, 0, NULL));
	t1_set_memory(&self->first.dev, !variant->off);
	expect_reachable(IOVA, self->area);
	t1_unmap(&self->rig.c, IOVA, TOTAL);
}

static void release_second(char *area, struct t1_target *second)
{
	/* RAM instead, or this mapping would keep the device open */
	T1_ASSERT(mmap(area + 2 * SIZE, SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == area + 2 * SIZE);
	t1_target_close(second);
}

/* One target is released: the mapping goes, what it has of others included. */
TEST_F(walk, release)
{
	release_second(self->area, &self->second);
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(&self->rig.c));
	t1_target_open(&self->second, t1_find(T1_IVSHMEM, 1), 2, 0);
}

/* The last group takes all mappings with it. */
TEST_F(walk, detach)
{
	struct t1_rig *rig = &self->rig;

	munmap(rig->bar0, T1_EDU_BAR_SIZE);
	t1_device_close(&rig->edu);
	t1_set_memory(&self->first.dev, variant->off);
	t1_device_open(&rig->edu, &rig->c, t1_find(T1_EDU, 0));
	rig->bar0 = t1_bar_mmap(&rig->edu, 0, 0, T1_EDU_BAR_SIZE);
	EXPECT_EQ(rig->avail, t1_dma_avail(&rig->c));
	t1_map(&rig->c, rig->ram, T1_RIG_RAM, SIZE, T1_RW);
}

TEST_F(walk, attach)
{
	struct t1_device more;
	const char *bdf = t1_require(T1_EDU, 1);

	t1_device_open(&more, &self->rig.c, bdf);
	expect_reachable(IOVA, self->area);
	t1_device_close(&more);
	expect_reachable(IOVA, self->area);
	t1_unmap(&self->rig.c, IOVA, TOTAL);
}

/* A container goes away with its mappings; the target lives on. */
TEST_F(walk, close)
{
	struct t1_rig other;

	t1_rig_open(&other, t1_require(T1_EDU, 1));
	t1_map(&other.c, self->area, IOVA, TOTAL, T1_RW);
	EXPECT_TRUE(t1_dma_arrives(&other, IOVA + 2 * SIZE, word(self->area, 2)));
	munmap(other.bar0, T1_EDU_BAR_SIZE);
	t1_container_close(&other.c);
	t1_device_close(&other.edu);
	munmap(other.ram, SIZE);
	t1_set_memory(&self->first.dev, variant->off);
	t1_set_memory(&self->first.dev, !variant->off);
	expect_reachable(IOVA, self->area);
	t1_unmap(&self->rig.c, IOVA, TOTAL);
}

TEST_HARNESS_MAIN
