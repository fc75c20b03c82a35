// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA of one device to the memory of another: it arrives while the target is
 * open and its memory on, and at no other time.
 *
 * The initiator is edu, in a container that has the target's BAR mapped; the
 * target is ivshmem, whose BAR 2 is RAM that keeps what was written while the
 * device is closed. It is open in a container of its own.
 *
 * Fails on stock 6.1: everything about release and memory that is off, for the
 * mapping of a BAR is forgotten there, not tracked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_bench.h"
#include "../lib/type1_edu.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_stall.h"

#define SIZE		T1_RIG_SIZE
#define IOVA		0x2000000UL

FIXTURE(peer) {
	struct t1_rig rig;
	struct t1_target target;
};

static void open_target(struct t1_target *target)
{
	t1_target_open(target, t1_find(T1_IVSHMEM, 0), 2, 0);
}

FIXTURE_SETUP(peer)
{
	const char *edu = t1_require(T1_EDU, 0);

	t1_require(T1_IVSHMEM, 0);
	t1_rig_open(&self->rig, edu);
	open_target(&self->target);
}

FIXTURE_TEARDOWN(peer)
{
	t1_target_close(&self->target);
	t1_rig_close(&self->rig);
}

/* What edu writes between @off and @on never shows in the target's memory. */
#define expect_lost(iova, off, on) do {					\
	self->target.mem[0] = 0x600d;					\
	off;								\
	t1_dma_write(&self->rig, iova, 0xbad);				\
	on;								\
	EXPECT_EQ(0x600d, self->target.mem[0]);				\
} while (0)

static __u64 unmapped(struct t1_rig *rig)
{
	__u64 size;

	T1_ASSERT_OK(__t1_unmap(&rig->c, IOVA, SIZE, &size));
	return size;
}

TEST_F(peer, arrives)
{
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA + 3 * T1_PAGE,
				   self->target.mem + 3 * T1_PAGE / 4));

	/* And the other direction */
	self->target.mem[1] = 0x1234;
	edu_dma_from(self->rig.bar0, IOVA + 4, 0, 4);
	edu_dma_to(self->rig.bar0, T1_RIG_RAM + 4, 0, 4);
	EXPECT_EQ(0x1234, self->rig.ram[1]);
	EXPECT_EQ(SIZE, unmapped(&self->rig));
	EXPECT_EQ(0, unmapped(&self->rig));
}

TEST_F(peer, not_after_unmap)
{
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	ASSERT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	EXPECT_EQ(SIZE, unmapped(&self->rig));
	EXPECT_FALSE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
}

TEST_F(peer, not_after_release)
{
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	ASSERT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	expect_lost(IOVA, t1_target_close(&self->target), open_target(&self->target));
	/* The mapping is gone, as by UNMAP_DMA, and its entry is free again. */
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(&self->rig.c));
	EXPECT_EQ(0, unmapped(&self->rig));
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	EXPECT_EQ(SIZE, unmapped(&self->rig));
}

TEST_F(peer, second_file_keeps_it)
{
	int fd = t1_device_reopen(&self->target.dev);

	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	munmap(self->target.mem, SIZE);
	close(self->target.dev.fd);
	self->target.dev.fd = fd;
	self->target.mem = t1_bar_mmap(&self->target.dev, 2, 0, SIZE);
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	EXPECT_EQ(SIZE, unmapped(&self->rig));
}

TEST_F(peer, lone_mmap_keeps_it)
{
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_device_close(&self->target.dev);
	t1_container_close(&self->target.c);
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	munmap(self->target.mem, SIZE);
	open_target(&self->target);
	EXPECT_EQ(0, unmapped(&self->rig));
}

TEST_F(peer, not_while_off)
{
	void *bar0 = t1_bar_mmap(&self->target.dev, 0, 0, T1_PAGE);
	int i;

	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
		expect_lost(IOVA,
			    t1_set_memory(&self->target.dev, false),
			    t1_set_memory(&self->target.dev, true));
		EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	}
	EXPECT_EQ(SIZE, unmapped(&self->rig));
	munmap(bar0, T1_PAGE);
}

TEST_F(peer, unmap_while_off)
{
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_set_memory(&self->target.dev, false);
	EXPECT_EQ(SIZE, unmapped(&self->rig));
	t1_set_memory(&self->target.dev, true);
	EXPECT_FALSE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
}

TEST_F(peer, map_while_off)
{
	self->target.mem[0] = 0x600d;
	t1_set_memory(&self->target.dev, false);
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_dma_write(&self->rig, IOVA, 0xbad);
	t1_set_memory(&self->target.dev, true);
	EXPECT_EQ(0x600d, self->target.mem[0]);
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	EXPECT_EQ(SIZE, unmapped(&self->rig));
}

TEST_F(peer, release_while_off)
{
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	expect_lost(IOVA,
		    t1_set_memory(&self->target.dev, false);
		    t1_target_close(&self->target), open_target(&self->target));
	EXPECT_EQ(0, unmapped(&self->rig));
}

/* RAM, then the BAR, then RAM, in one mapping */
TEST_F(peer, between_ram)
{
	char *area = mmap(NULL, 3 * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);
	__u32 *first = (void *)area, *last = (void *)(area + 2 * SIZE);
	void *bar;

	ASSERT_NE(MAP_FAILED, area);
	bar = mmap(area + SIZE, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		   self->target.dev.fd, t1_bar_offset(&self->target.dev, 2, 0));
	ASSERT_EQ(area + SIZE, bar);
	t1_map(&self->rig.c, area, IOVA, 3 * SIZE, T1_RW);
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, first));
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA + SIZE, bar));
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA + 2 * SIZE, last));
	expect_lost(IOVA + SIZE,
		    t1_set_memory(&self->target.dev, false);
		    EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA + 2 * SIZE, last)),
		    t1_set_memory(&self->target.dev, true));
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA + SIZE, bar));

	/* The whole mapping goes with the device. */
	munmap(bar, SIZE);
	t1_target_close(&self->target);
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(&self->rig.c));
	EXPECT_FALSE(t1_dma_arrives(&self->rig, IOVA, first));
	open_target(&self->target);
	munmap(area, 3 * SIZE);
}

TEST_F(peer, many_times)
{
	struct t1_container *c = &self->rig.c;
	int i;

	for (i = 0; i < 64; i++)
		t1_map(c, self->target.mem, IOVA + i * 2 * SIZE, SIZE, T1_RW);
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA + 63 * 2 * SIZE, self->target.mem));
	EXPECT_EQ(self->rig.avail - 65, t1_dma_avail(c));
	expect_lost(IOVA + 63 * 2 * SIZE, t1_target_close(&self->target),
		    open_target(&self->target));
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(c));
}

/* In the target's container, where no initiator is, and in two others */
TEST_F(peer, own_container)
{
	t1_map(&self->target.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	/* Its own container holds no reference: closing is still a release. */
	expect_lost(IOVA, t1_target_close(&self->target), open_target(&self->target));
}

TEST_F(peer, read_only)
{
	void *bar = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self->target.dev.fd,
			 t1_bar_offset(&self->target.dev, 2, 0));

	ASSERT_NE(MAP_FAILED, bar);
	EXPECT_EQ(-EFAULT, __t1_map(&self->rig.c, bar, IOVA, SIZE, T1_RW));
	EXPECT_EQ(0, __t1_map(&self->rig.c, bar, IOVA, SIZE, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_FALSE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	EXPECT_EQ(SIZE, unmapped(&self->rig));
	munmap(bar, SIZE);
}

/* A BAR through sysfs: VFIO cannot know when that one goes away. */
TEST_F(peer, foreign_memory_is_refused)
{
	char path[64];
	void *bar;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource2", self->target.dev.bdf);
	fd = open(path, O_RDWR);
	if (fd < 0)
		SKIP(return, "cannot open %s: run as root", path);
	bar = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* CONFIG_IO_STRICT_DEVMEM leaves it to the driver */
	if (bar == MAP_FAILED && errno == EINVAL)
		SKIP(return, "cannot map %s: boot with iomem=relaxed", path);
	ASSERT_NE(MAP_FAILED, bar);
	EXPECT_EQ(-EPERM, __t1_map(&self->rig.c, bar, IOVA, SIZE, T1_RW));
	EXPECT_EQ(0, unmapped(&self->rig));
	munmap(bar, SIZE);
	close(fd);
}

/* Nor are pages that belong to no file at all, as those of the vDSO's data. */
TEST_F(peer, memory_without_a_file_is_refused)
{
	unsigned long start = 0;
	char line[256];
	FILE *maps = fopen("/proc/self/maps", "r");

	ASSERT_NE(NULL, maps);
	/* On newer kernels [vvar] has pages, and [vvar_vclock] after it has none */
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]") || strstr(line, "[vvar_vclock]"))
			start = strtoul(line, NULL, 16);
	fclose(maps);
	if (!start)
		SKIP(return, "no [vvar] in /proc/self/maps");
	EXPECT_EQ(-EPERM, __t1_map(&self->rig.c, (void *)start, IOVA, T1_PAGE,
				   VFIO_DMA_MAP_FLAG_READ));
	EXPECT_EQ(0, unmapped(&self->rig));
}

TEST_F(peer, extension)
{
	EXPECT_EQ(1, ioctl(self->rig.c.fd, VFIO_CHECK_EXTENSION, VFIO_DMA_PEER_REVOKE));
}

/* Another group of the container comes and goes. */
TEST_F(peer, attach_and_detach)
{
	struct t1_device more;
	const char *bdf = t1_require(T1_IVSHMEM, 1);

	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_set_memory(&self->target.dev, false);
	t1_device_open(&more, &self->rig.c, bdf);
	t1_set_memory(&self->target.dev, true);
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	t1_device_close(&more);
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));

	/* With its last group a container loses all mappings. */
	munmap(self->rig.bar0, T1_EDU_BAR_SIZE);
	t1_device_close(&self->rig.edu);
	t1_device_open(&self->rig.edu, &self->rig.c, t1_find(T1_EDU, 0));
	t1_set_command(&self->rig.edu, PCI_COMMAND_MASTER, true);
	self->rig.bar0 = t1_bar_mmap(&self->rig.edu, 0, 0, T1_EDU_BAR_SIZE);
	t1_map(&self->rig.c, self->rig.ram, T1_RIG_RAM, SIZE, T1_RW);
	EXPECT_EQ(0, unmapped(&self->rig));
}

/* A container whose owner sits in an ioctl keeps nobody from closing the target. */
TEST_F(peer, close_never_waits)
{
	struct t1_container *c = &self->rig.c;
	struct t1_busy busy;
	__u64 begin;

	t1_map(c, self->target.mem, IOVA, SIZE, T1_RW);
	ASSERT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	if (__t1_busy_begin(&busy, c, T1_RIG_RAM, SIZE))
		SKIP(return, T1_STALL_HINT);

	begin = t1_now();
	expect_lost(IOVA, t1_target_close(&self->target), open_target(&self->target));
	EXPECT_GT(10000000000ULL, t1_now() - begin);

	t1_busy_end(&busy);
	EXPECT_EQ(0, __t1_dirty_pages(c, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, 0, 0, NULL));
	EXPECT_EQ(0, unmapped(&self->rig));
}

TEST_HARNESS_MAIN
