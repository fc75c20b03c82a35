// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an administrator reads of a container in /proc/PID/fdinfo: it follows what
 * the container holds, and can be read while its user holds the container up.
 *
 * Fails on stock 6.1: nothing is told there.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_bench.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_stall.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL
#define SHORT_RANGE	0x400000U	/* where large pages do not fit */

FIXTURE(fdinfo) {
	struct t1_rig rig;
	struct t1_target target;
};

FIXTURE_SETUP(fdinfo)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf = t1_require(T1_IVSHMEM, 0);

	t1_rig_open(&self->rig, edu);
	t1_target_open(&self->target, bdf, 2, 0);
}

FIXTURE_TEARDOWN(fdinfo)
{
	t1_target_close(&self->target);
	t1_rig_close(&self->rig);
}

TEST_F(fdinfo, mappings)
{
	EXPECT_EQ(self->rig.avail - 1, t1_told(&self->rig.c, "vfio-dma-avail"));
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	EXPECT_EQ(self->rig.avail - 2, t1_told(&self->rig.c, "vfio-dma-avail"));
	t1_unmap(&self->rig.c, IOVA, SIZE);
}

TEST_F(fdinfo, peers)
{
	struct t1_container *c = &self->rig.c;

	EXPECT_EQ(0, t1_told(c, "vfio-peer-devices"));
	EXPECT_EQ(0, t1_told(c, "vfio-peer-ranges"));
	t1_map(c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_map(c, self->target.mem, IOVA + SIZE, SIZE, T1_RW);
	EXPECT_EQ(1, t1_told(c, "vfio-peer-devices"));
	EXPECT_EQ(2, t1_told(c, "vfio-peer-ranges"));
	EXPECT_EQ(0, t1_told(c, "vfio-peer-suspended"));

	t1_set_memory(&self->target.dev, false);
	EXPECT_EQ(2, t1_told(c, "vfio-peer-ranges"));
	EXPECT_EQ(2, t1_told(c, "vfio-peer-suspended"));
	t1_set_memory(&self->target.dev, true);
	EXPECT_EQ(0, t1_told(c, "vfio-peer-suspended"));

	t1_unmap(c, IOVA, 2 * SIZE);
	EXPECT_EQ(0, t1_told(c, "vfio-peer-devices"));
	EXPECT_EQ(0, t1_told(c, "vfio-peer-ranges"));
}

/* What takes an entry for each page is made of more ranges, which count as one mapping. */
TEST_F(fdinfo, short_ranges)
{
	__u64 size = t1_bar_size(&self->target.dev, 2), shift;
	struct t1_container *c = &self->rig.c;
	void *bar;

	if (size < 2 * SHORT_RANGE)
		SKIP(return, "BAR 2 has %llu bytes and not %u", size, 2 * SHORT_RANGE);
	bar = t1_bar_mmap(&self->target.dev, 2, 0, size);
	for (shift = 0; shift <= T1_PAGE; shift += T1_PAGE) {
		/* They end where a page table does: one more, for the last page. */
		unsigned int count = shift ? size / SHORT_RANGE + 1 : 1;

		t1_map(c, bar, IOVA + shift, size, T1_RW);
		EXPECT_EQ(count, t1_told(c, "vfio-peer-ranges"));
		EXPECT_EQ(self->rig.avail - 2, t1_told(c, "vfio-dma-avail"));
		t1_unmap(c, IOVA + shift, size);
		EXPECT_EQ(self->rig.avail - 1, t1_told(c, "vfio-dma-avail"));
	}
	munmap(bar, size);
}

static bool has_pasids(struct t1_container *c)
{
	return ioctl(c->fd, VFIO_CHECK_EXTENSION, VFIO_PASID_ALLOC) == 1;
}

/* Those of the container, and those of its owner in all containers */
TEST_F(fdinfo, pasids)
{
	struct t1_container *c = &self->rig.c;

	if (!has_pasids(c))
		SKIP(return, "the kernel has no PASIDs: CONFIG_VFIO_PASID=y");
	EXPECT_EQ(0, t1_told(c, "vfio-pasids"));
	EXPECT_EQ(0, t1_told(c, "vfio-pasids-owner"));
	t1_pasid_alloc(c, 1, 1000);
	t1_pasid_alloc(c, 1, 1000);
	t1_pasid_alloc(&self->target.c, 1, 1000);
	EXPECT_EQ(2, t1_told(c, "vfio-pasids"));
	EXPECT_EQ(3, t1_told(c, "vfio-pasids-owner"));
	EXPECT_EQ(1, t1_told(&self->target.c, "vfio-pasids"));
}

TEST_F(fdinfo, nothing_without_group)
{
	struct t1_container c;

	t1_container_open(&c);
	EXPECT_EQ(-1, t1_told(&c, "vfio-dma-avail"));
	t1_container_close(&c);
}

/* The time-out of the test is what catches it. */
TEST_F(fdinfo, user_holds_lock)
{
	struct t1_container *c = &self->rig.c;
	struct t1_busy busy;

	t1_map(c, self->target.mem, IOVA, SIZE, T1_RW);
	if (__t1_busy_begin(&busy, c, T1_RIG_RAM, SIZE))
		SKIP(return, T1_STALL_HINT);
	EXPECT_EQ(1, t1_told(c, "vfio-peer-ranges"));
	EXPECT_EQ(self->rig.avail - 2, t1_told(c, "vfio-dma-avail"));
	EXPECT_EQ(has_pasids(c) ? 0 : -1, t1_told(c, "vfio-pasids"));
	t1_busy_end(&busy);
	t1_unmap(c, IOVA, SIZE);
}

/* Revoked, but not reaped yet, as that takes the container's lock */
TEST_F(fdinfo, revoked)
{
	struct t1_container *c = &self->rig.c;
	struct t1_busy busy;

	t1_map(c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_set_memory(&self->target.dev, false);
	t1_map(c, self->target.mem, IOVA + SIZE, SIZE, T1_RW);
	if (__t1_busy_begin(&busy, c, T1_RIG_RAM, SIZE))
		SKIP(return, T1_STALL_HINT);
	t1_target_close(&self->target);
	EXPECT_EQ(0, t1_told(c, "vfio-peer-devices"));
	EXPECT_EQ(0, t1_told(c, "vfio-peer-ranges"));
	EXPECT_EQ(0, t1_told(c, "vfio-peer-suspended"));
	t1_busy_end(&busy);

	t1_target_open(&self->target, t1_require(T1_IVSHMEM, 0), 2, 0);
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(c));
	t1_map(c, self->target.mem, IOVA, SIZE, T1_RW);
	EXPECT_EQ(1, t1_told(c, "vfio-peer-ranges"));
	EXPECT_EQ(0, t1_told(c, "vfio-peer-suspended"));
	t1_unmap(c, IOVA, SIZE);
	EXPECT_EQ(0, t1_told(c, "vfio-peer-ranges"));
}

/* The shortest of some reads, in ns: others have the CPU meanwhile, now and then */
static __u64 read_time(struct t1_container *c)
{
	__u64 begin, took, best = ~0ULL;
	int i;

	for (i = 0; i < 20; i++) {
		begin = t1_now();
		t1_told(c, "vfio-peer-ranges");
		took = t1_now() - begin;
		if (took < best)
			best = took;
	}
	return best;
}

/*
 * Who resets or closes one of the devices waits for the lock that a read takes.
 * With a step for each range, a read takes ten times as long for these.
 */
TEST_F(fdinfo, no_walk)
{
	struct t1_container *c = &self->rig.c;
	const unsigned int count = 20000;
	__u64 few, many;
	unsigned int i;

	few = read_time(c);
	for (i = 0; i < count; i++)
		t1_map(c, self->target.mem, IOVA + i * T1_PAGE, T1_PAGE, T1_RW);
	EXPECT_EQ(count, t1_told(c, "vfio-peer-ranges"));
	many = read_time(c);
	EXPECT_GT(3 * few, many) {
		TH_LOG("%llu ns without ranges, %llu ns with %u", few, many, count);
	}
	t1_unmap(c, IOVA, count * T1_PAGE);
}

static void *toggle_memory(void *data)
{
	struct t1_target *target = data;
	int i;

	for (i = 0; i < 5; i++) {
		t1_set_memory(&target->dev, false);
		t1_set_memory(&target->dev, true);
	}
	return NULL;
}

/*
 * Nobody waits for a walk over all ranges either: with the lock held all the time,
 * either none of them or all would be seen suspended.
 */
TEST_F(fdinfo, between_ranges)
{
	struct t1_container *c = &self->rig.c;
	const unsigned int count = 5000;
	unsigned int i, between = 0;
	pthread_t thread;
	long suspended;

	for (i = 0; i < count; i++)
		t1_map(c, self->target.mem, IOVA + i * T1_PAGE, T1_PAGE, T1_RW);
	ASSERT_EQ(0, pthread_create(&thread, NULL, toggle_memory, &self->target));
	while (pthread_tryjoin_np(thread, NULL)) {
		suspended = t1_told(c, "vfio-peer-suspended");
		EXPECT_LE(0, suspended);
		EXPECT_GE(count, suspended);
		between += suspended && suspended < count;
	}
	EXPECT_LT(0, between);
	EXPECT_EQ(0, t1_told(c, "vfio-peer-suspended"));
	t1_unmap(c, IOVA, count * T1_PAGE);
}

TEST_HARNESS_MAIN
