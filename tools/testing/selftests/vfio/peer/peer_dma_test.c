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

#define PAGE		4096UL
#define SIZE		(4 * PAGE)
#define RAM_IOVA	0x1000000UL
#define PEER_IOVA	0x2000000UL
#define RW		(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

struct rig {
	struct t1_container mine, other;
	struct t1_device edu, target;
	const char *target_bdf;
	void *edu_bar;
	__u32 *ram;	/* DMA source, at RAM_IOVA */
	__u32 *bar;	/* the target's memory, as the CPU sees it */
	unsigned int avail;
};

FIXTURE(peer) {
	struct rig rig;
};

static void open_target(struct rig *rig)
{
	t1_container_open(&rig->other);
	t1_device_open(&rig->target, &rig->other, rig->target_bdf);
	rig->bar = t1_bar_mmap(&rig->target, 2, 0, SIZE);
}

static void close_target(struct rig *rig)
{
	munmap(rig->bar, SIZE);
	t1_device_close(&rig->target);
	t1_container_close(&rig->other);
}

FIXTURE_SETUP(peer)
{
	const char *edu = t1_require(T1_EDU, 0);

	self->rig.target_bdf = t1_require(T1_IVSHMEM, 0);
	touch_init();
	t1_container_open(&self->rig.mine);
	t1_device_open(&self->rig.edu, &self->rig.mine, edu);
	t1_set_command(&self->rig.edu, PCI_COMMAND_MASTER, true);
	self->rig.edu_bar = t1_bar_mmap(&self->rig.edu, 0, 0, 0x100000);
	self->rig.ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->rig.ram);
	self->rig.avail = t1_dma_avail(&self->rig.mine);
	t1_map(&self->rig.mine, self->rig.ram, RAM_IOVA, SIZE, RW);
	open_target(&self->rig);
}

FIXTURE_TEARDOWN(peer)
{
	close_target(&self->rig);
	t1_unmap(&self->rig.mine, RAM_IOVA, SIZE);
	EXPECT_EQ(self->rig.avail, t1_dma_avail(&self->rig.mine));
	munmap(self->rig.edu_bar, 0x100000);
	t1_device_close(&self->rig.edu);
	t1_container_close(&self->rig.mine);
}

/* Let edu write @value to @iova. */
static void dma_write(struct rig *rig, __u64 iova, __u32 value)
{
	rig->ram[0] = value;
	edu_dma_from(rig->edu_bar, RAM_IOVA, 0, sizeof(value));
	edu_dma_to(rig->edu_bar, iova, 0, sizeof(value));
}

/* Does a DMA write to @iova reach @word? */
static bool dma_arrives(struct rig *rig, __u64 iova, __u32 *word)
{
	static __u32 value = 0x1000;

	value++;
	__atomic_store_n(word, 0, __ATOMIC_RELAXED);
	dma_write(rig, iova, value);
	return __atomic_load_n(word, __ATOMIC_RELAXED) == value;
}

/* What edu writes between @off and @on never shows in the target's memory. */
#define expect_lost(iova, off, on) do {					\
	self->rig.bar[0] = 0x600d;					\
	off;								\
	dma_write(&self->rig, iova, 0xbad);				\
	on;								\
	EXPECT_EQ(0x600d, self->rig.bar[0]);				\
} while (0)

static __u64 unmapped(struct rig *rig)
{
	__u64 size;

	T1_ASSERT_OK(__t1_unmap(&rig->mine, PEER_IOVA, SIZE, &size));
	return size;
}

TEST_F(peer, arrives)
{
	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA + 3 * PAGE, self->rig.bar + 3 * PAGE / 4));

	/* And the other direction */
	self->rig.bar[1] = 0x1234;
	edu_dma_from(self->rig.edu_bar, PEER_IOVA + 4, 0, 4);
	edu_dma_to(self->rig.edu_bar, RAM_IOVA + 4, 0, 4);
	EXPECT_EQ(0x1234, self->rig.ram[1]);
	EXPECT_EQ(SIZE, unmapped(&self->rig));
	EXPECT_EQ(0, unmapped(&self->rig));
}

TEST_F(peer, not_after_unmap)
{
	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	ASSERT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	EXPECT_EQ(SIZE, unmapped(&self->rig));
	EXPECT_FALSE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
}

TEST_F(peer, not_after_release)
{
	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	ASSERT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	expect_lost(PEER_IOVA, close_target(&self->rig), open_target(&self->rig));
	/* The mapping is gone, as by UNMAP_DMA, and its entry is free again. */
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(&self->rig.mine));
	EXPECT_EQ(0, unmapped(&self->rig));
	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	EXPECT_EQ(SIZE, unmapped(&self->rig));
}

TEST_F(peer, second_file_keeps_it)
{
	int fd = t1_device_reopen(&self->rig.target);

	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	munmap(self->rig.bar, SIZE);
	close(self->rig.target.fd);
	self->rig.target.fd = fd;
	self->rig.bar = t1_bar_mmap(&self->rig.target, 2, 0, SIZE);
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	EXPECT_EQ(SIZE, unmapped(&self->rig));
}

TEST_F(peer, lone_mmap_keeps_it)
{
	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	t1_device_close(&self->rig.target);
	t1_container_close(&self->rig.other);
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	munmap(self->rig.bar, SIZE);
	open_target(&self->rig);
	EXPECT_EQ(0, unmapped(&self->rig));
}

TEST_F(peer, not_while_off)
{
	void *bar0 = t1_bar_mmap(&self->rig.target, 0, 0, PAGE);
	int i;

	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
		expect_lost(PEER_IOVA,
			    t1_set_command(&self->rig.target, PCI_COMMAND_MEMORY, false),
			    t1_set_command(&self->rig.target, PCI_COMMAND_MEMORY, true));
		EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	}
	EXPECT_EQ(SIZE, unmapped(&self->rig));
	munmap(bar0, PAGE);
}

TEST_F(peer, unmap_while_off)
{
	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	t1_set_command(&self->rig.target, PCI_COMMAND_MEMORY, false);
	EXPECT_EQ(SIZE, unmapped(&self->rig));
	t1_set_command(&self->rig.target, PCI_COMMAND_MEMORY, true);
	EXPECT_FALSE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
}

TEST_F(peer, map_while_off)
{
	self->rig.bar[0] = 0x600d;
	t1_set_command(&self->rig.target, PCI_COMMAND_MEMORY, false);
	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	dma_write(&self->rig, PEER_IOVA, 0xbad);
	t1_set_command(&self->rig.target, PCI_COMMAND_MEMORY, true);
	EXPECT_EQ(0x600d, self->rig.bar[0]);
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	EXPECT_EQ(SIZE, unmapped(&self->rig));
}

TEST_F(peer, release_while_off)
{
	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	expect_lost(PEER_IOVA,
		    t1_set_command(&self->rig.target, PCI_COMMAND_MEMORY, false);
		    close_target(&self->rig), open_target(&self->rig));
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
		   self->rig.target.fd, t1_bar_offset(&self->rig.target, 2, 0));
	ASSERT_EQ(area + SIZE, bar);
	t1_map(&self->rig.mine, area, PEER_IOVA, 3 * SIZE, RW);
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA, first));
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA + SIZE, bar));
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA + 2 * SIZE, last));
	expect_lost(PEER_IOVA + SIZE,
		    t1_set_command(&self->rig.target, PCI_COMMAND_MEMORY, false);
		    EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA + 2 * SIZE, last)),
		    t1_set_command(&self->rig.target, PCI_COMMAND_MEMORY, true));
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA + SIZE, bar));

	/* The whole mapping goes with the device. */
	munmap(bar, SIZE);
	close_target(&self->rig);
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(&self->rig.mine));
	EXPECT_FALSE(dma_arrives(&self->rig, PEER_IOVA, first));
	open_target(&self->rig);
	munmap(area, 3 * SIZE);
}

TEST_F(peer, many_times)
{
	struct t1_container *c = &self->rig.mine;
	int i;

	for (i = 0; i < 64; i++)
		t1_map(c, self->rig.bar, PEER_IOVA + i * 2 * SIZE, SIZE, RW);
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA + 63 * 2 * SIZE, self->rig.bar));
	EXPECT_EQ(self->rig.avail - 65, t1_dma_avail(c));
	expect_lost(PEER_IOVA + 63 * 2 * SIZE, close_target(&self->rig), open_target(&self->rig));
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(c));
}

/* In the target's container, where no initiator is, and in two others */
TEST_F(peer, own_container)
{
	t1_map(&self->rig.other, self->rig.bar, PEER_IOVA, SIZE, RW);
	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	/* Its own container holds no reference: closing is still a release. */
	expect_lost(PEER_IOVA, close_target(&self->rig), open_target(&self->rig));
}

TEST_F(peer, read_only)
{
	void *bar = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self->rig.target.fd,
			 t1_bar_offset(&self->rig.target, 2, 0));

	ASSERT_NE(MAP_FAILED, bar);
	EXPECT_EQ(-EFAULT, __t1_map(&self->rig.mine, bar, PEER_IOVA, SIZE, RW));
	EXPECT_EQ(0, __t1_map(&self->rig.mine, bar, PEER_IOVA, SIZE, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_FALSE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	EXPECT_EQ(SIZE, unmapped(&self->rig));
	munmap(bar, SIZE);
}

/* A BAR through sysfs: VFIO cannot know when that one goes away. */
TEST_F(peer, foreign_memory_is_refused)
{
	char path[64];
	void *bar;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource2", self->rig.target_bdf);
	fd = open(path, O_RDWR);
	if (fd < 0)
		SKIP(return, "cannot open %s: run as root", path);
	bar = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* CONFIG_IO_STRICT_DEVMEM leaves it to the driver */
	if (bar == MAP_FAILED && errno == EINVAL)
		SKIP(return, "cannot map %s: boot with iomem=relaxed", path);
	ASSERT_NE(MAP_FAILED, bar);
	EXPECT_EQ(-EPERM, __t1_map(&self->rig.mine, bar, PEER_IOVA, SIZE, RW));
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
	while (!start && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]"))
			start = strtoul(line, NULL, 16);
	fclose(maps);
	if (!start)
		SKIP(return, "no [vvar] in /proc/self/maps");
	EXPECT_EQ(-EPERM, __t1_map(&self->rig.mine, (void *)start, PEER_IOVA, T1_PAGE,
				   VFIO_DMA_MAP_FLAG_READ));
	EXPECT_EQ(0, unmapped(&self->rig));
}

TEST_F(peer, extension)
{
	EXPECT_EQ(1, ioctl(self->rig.mine.fd, VFIO_CHECK_EXTENSION, VFIO_DMA_PEER_REVOKE));
}

/* Another group of the container comes and goes. */
TEST_F(peer, attach_and_detach)
{
	struct t1_device more;
	const char *bdf = t1_require(T1_IVSHMEM, 1);

	t1_map(&self->rig.mine, self->rig.bar, PEER_IOVA, SIZE, RW);
	t1_set_command(&self->rig.target, PCI_COMMAND_MEMORY, false);
	t1_device_open(&more, &self->rig.mine, bdf);
	t1_set_command(&self->rig.target, PCI_COMMAND_MEMORY, true);
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	t1_device_close(&more);
	EXPECT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));

	/* With its last group a container loses all mappings. */
	munmap(self->rig.edu_bar, 0x100000);
	t1_device_close(&self->rig.edu);
	t1_device_open(&self->rig.edu, &self->rig.mine, t1_find(T1_EDU, 0));
	t1_set_command(&self->rig.edu, PCI_COMMAND_MASTER, true);
	self->rig.edu_bar = t1_bar_mmap(&self->rig.edu, 0, 0, 0x100000);
	t1_map(&self->rig.mine, self->rig.ram, RAM_IOVA, SIZE, RW);
	EXPECT_EQ(0, unmapped(&self->rig));
}

/* A container whose owner sits in an ioctl keeps nobody from closing the target. */
TEST_F(peer, close_never_waits)
{
	struct t1_container *c = &self->rig.mine;
	struct t1_busy busy;
	__u64 begin;

	t1_map(c, self->rig.bar, PEER_IOVA, SIZE, RW);
	ASSERT_TRUE(dma_arrives(&self->rig, PEER_IOVA, self->rig.bar));
	if (__t1_busy_begin(&busy, c, RAM_IOVA, SIZE))
		SKIP(return, T1_STALL_HINT);

	begin = t1_now();
	expect_lost(PEER_IOVA, close_target(&self->rig), open_target(&self->rig));
	EXPECT_GT(10000000000ULL, t1_now() - begin);

	t1_busy_end(&busy);
	EXPECT_EQ(0, __t1_dirty_pages(c, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, 0, 0, NULL));
	EXPECT_EQ(0, unmapped(&self->rig));
}

TEST_HARNESS_MAIN
