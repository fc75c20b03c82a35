// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which page of a BAR shows at which address, whatever was done to the mapping:
 * each page of an ivshmem BAR holds its own number.
 *
 * Fail on stock 6.1:
 *  - maps_shows_users_offset: there vm_pgoff is the page frame number, and
 *    /proc/PID/maps tells the physical address of the BAR;
 *  - fault_is_bounded: there the first touch fills the whole VMA in;
 *  - moved_by_mremap: page table entries move to a VMA that is not on the list
 *    of VMAs to zap, and untrack_pfn() warns.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_touch.h"
#include "../lib/type1_vtest.h"

#define PAGE	4096UL
#define PAGES	1200UL	/* more than two page tables, and no multiple of one */
#define SIZE	(PAGES * PAGE)
#define MIB	0x100000UL

FIXTURE(layout) {
	struct t1_container container;
	struct t1_device dev;
	char *whole;
};

FIXTURE_SETUP(layout)
{
	const char *bdf = t1_require(T1_IVSHMEM, 0);
	unsigned long i;

	touch_init();
	t1_container_open(&self->container);
	t1_device_open(&self->dev, &self->container, bdf);
	self->whole = t1_bar_mmap(&self->dev, 2, 0, SIZE);
	for (i = 0; i < PAGES; i++)
		ASSERT_TRUE(touch_write(self->whole + i * PAGE, i));
}

FIXTURE_TEARDOWN(layout)
{
	munmap(self->whole, SIZE);
	t1_device_close(&self->dev);
	t1_container_close(&self->container);
}

/* True when @count pages at @addr show the pages of the BAR from @first on. */
static bool shows(const char *addr, unsigned long first, unsigned long count)
{
	__u32 value;
	unsigned long i;

	for (i = 0; i < count; i++) {
		if (touch_read(addr + i * PAGE, &value) && value == first + i)
			continue;
		fprintf(stderr, "# page %lu reads as %u\n", first + i, value);
		return false;
	}
	return true;
}

static void *map_pages(struct t1_device *dev, unsigned long first, unsigned long count)
{
	return t1_bar_mmap(dev, 2, first * PAGE, count * PAGE);
}

static void zap(struct t1_device *dev)
{
	t1_set_memory(dev, false);
	t1_set_memory(dev, true);
}

/* Also the other way round, so that no first touch is at the start. */
static bool shows_after_zap(struct t1_device *dev, const char *addr,
			    unsigned long first, unsigned long count)
{
	zap(dev);
	if (touch_faults(addr + (count - 1) * PAGE) != 1)
		return false;
	return shows(addr, first, count);
}

/* Field 3 of the line of /proc/self/maps that starts with @addr */
static __u64 maps_offset(const void *addr)
{
	unsigned long start, end, offset;
	char line[256];
	FILE *f = fopen("/proc/self/maps", "r");

	T1_ASSERT(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 &&
		    start == (unsigned long)addr) {
			fclose(f);
			return offset;
		}
	}
	fclose(f);
	return -1ULL;
}

TEST_F(layout, maps_shows_users_offset)
{
	char *map = map_pages(&self->dev, 513, 4);

	EXPECT_EQ(t1_bar_offset(&self->dev, 2, 0), maps_offset(self->whole));
	EXPECT_EQ(t1_bar_offset(&self->dev, 2, 513 * PAGE), maps_offset(map));
	ASSERT_TRUE(shows(map, 513, 4));
	EXPECT_EQ(t1_bar_offset(&self->dev, 2, 513 * PAGE), maps_offset(map));
	ASSERT_EQ(0, munmap(map, PAGE));
	EXPECT_EQ(t1_bar_offset(&self->dev, 2, 514 * PAGE), maps_offset(map + PAGE));
}

TEST_F(layout, part_of_a_bar)
{
	static const unsigned long firsts[] = { 0, 1, 7, 511, 512, 513, 1023 };
	unsigned int i;
	char *map;

	for (i = 0; i < ARRAY_SIZE(firsts); i++) {
		map = map_pages(&self->dev, firsts[i], 33);
		EXPECT_TRUE(shows(map, firsts[i], 33));
		EXPECT_TRUE(shows_after_zap(&self->dev, map, firsts[i], 33));
		ASSERT_EQ(0, munmap(map, 33 * PAGE));
	}
}

TEST_F(layout, overlapping)
{
	char *low = map_pages(&self->dev, 3, 600), *high = map_pages(&self->dev, 400, 700);
	char *again = map_pages(&self->dev, 3, 600);

	EXPECT_TRUE(shows(low, 3, 600));
	EXPECT_TRUE(shows(high, 400, 700));
	ASSERT_TRUE(touch_write(low + 500 * PAGE, 9999));
	EXPECT_TRUE(shows(high, 400, 103));
	EXPECT_FALSE(shows(high, 400, 104));
	ASSERT_TRUE(touch_write(high + 103 * PAGE, 503));
	EXPECT_TRUE(shows(again, 3, 600));
	EXPECT_TRUE(shows_after_zap(&self->dev, high, 400, 700));
	EXPECT_TRUE(shows_after_zap(&self->dev, low, 3, 600));
	EXPECT_TRUE(shows_after_zap(&self->dev, again, 3, 600));
}

TEST_F(layout, hole_in_the_middle)
{
	char *map = map_pages(&self->dev, 5, 40);

	ASSERT_TRUE(shows(map, 5, 40));
	ASSERT_EQ(0, munmap(map + 10 * PAGE, 10 * PAGE));
	EXPECT_TRUE(shows(map, 5, 10));
	EXPECT_TRUE(shows(map + 20 * PAGE, 25, 20));
	EXPECT_TRUE(shows_after_zap(&self->dev, map, 5, 10));
	EXPECT_TRUE(shows_after_zap(&self->dev, map + 20 * PAGE, 25, 20));
}

TEST_F(layout, split_by_mprotect)
{
	char *map = map_pages(&self->dev, 5, 40);

	ASSERT_EQ(0, mprotect(map + 13 * PAGE, 10 * PAGE, PROT_READ));
	EXPECT_TRUE(shows(map, 5, 40));
	EXPECT_TRUE(shows_after_zap(&self->dev, map, 5, 40));
	EXPECT_TRUE(shows_after_zap(&self->dev, map + 13 * PAGE, 18, 10));
}

TEST_F(layout, moved_by_mremap)
{
	char *map = map_pages(&self->dev, 11, 40), *moved;

	ASSERT_TRUE(shows(map, 11, 40));
	moved = mmap(NULL, 40 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, moved);
	ASSERT_EQ(moved, mremap(map, 40 * PAGE, 40 * PAGE,
				MREMAP_MAYMOVE | MREMAP_FIXED, moved));
	EXPECT_TRUE(shows(moved, 11, 40));
	EXPECT_TRUE(shows_after_zap(&self->dev, moved, 11, 40));
	/* Only its middle, to where it was: three VMAs. */
	ASSERT_EQ(map, mremap(moved + 15 * PAGE, 10 * PAGE, 10 * PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, map));
	EXPECT_TRUE(shows_after_zap(&self->dev, map, 26, 10));
	EXPECT_TRUE(shows_after_zap(&self->dev, moved, 11, 15));
	EXPECT_TRUE(shows_after_zap(&self->dev, moved + 25 * PAGE, 36, 15));
}

TEST_F(layout, mremap_cannot_grow)
{
	char *map = map_pages(&self->dev, 0, 8);

	EXPECT_EQ(MAP_FAILED, mremap(map, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(map, mremap(map, 8 * PAGE, 4 * PAGE, 0));
	EXPECT_TRUE(shows_after_zap(&self->dev, map, 0, 4));
}

/* A fault fills in more than a page, for speed, and less than the whole BAR. */
TEST_F(layout, fault_is_bounded)
{
	__u64 size = t1_bar_size(&self->dev, 2), pos;
	long faults, total = 0;
	char *map;

	if (size < 32 * MIB)
		T1_SKIP("the ivshmem device has less than 32 MiB");
	map = t1_bar_mmap(&self->dev, 2, 0, size);
	for (pos = 0; pos < size; pos += MIB) {
		faults = touch_faults(map + pos);
		ASSERT_LE(0, faults);
		total += faults;
	}
	TH_LOG("%ld faults for %llu MiB", total, size / MIB);
	EXPECT_LT(1, total);
	/* Neighbours, here first touched in the middle of a page table's range. */
	zap(&self->dev);
	EXPECT_EQ(1, touch_faults(map + 3 * MIB));
	EXPECT_EQ(0, touch_faults(map + 3 * MIB + PAGE));
	EXPECT_EQ(0, touch_faults(map + 3 * MIB - PAGE));
}

/* Aligned chunks end where the VMA does: what lies next to it stays. */
TEST_F(layout, neighbours_are_left_alone)
{
	char *area, *map;
	unsigned long i;

	area = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	for (i = 0; i < 32; i += 2)
		ASSERT_TRUE(touch_write(area + i * PAGE, 77));
	map = mmap(area + 15 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED,
		   self->dev.fd, t1_bar_offset(&self->dev, 2, 700 * PAGE));
	ASSERT_EQ(area + 15 * PAGE, map);
	EXPECT_TRUE(shows(map, 700, 1));
	for (i = 0; i < 32; i += 2)
		EXPECT_EQ(77, *(__u32 *)(area + i * PAGE));
	EXPECT_EQ(0, *(__u32 *)(area + 13 * PAGE));
	EXPECT_TRUE(shows_after_zap(&self->dev, map, 700, 1));
}

/* The number of a region is what is left of an offset that has a sign. */
TEST_F(layout, ioeventfd)
{
	const __s64 regions[] = { -1, -2, -16, -(1LL << 23), VFIO_PCI_ROM_REGION_INDEX };
	struct vfio_device_ioeventfd arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = t1_bar_offset(&self->dev, 2, 0),
		.fd = eventfd(0, EFD_CLOEXEC),
	};
	int i, fd = arg.fd;

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, ioctl(self->dev.fd, VFIO_DEVICE_IOEVENTFD, &arg));
	arg.fd = -1;
	EXPECT_EQ(0, ioctl(self->dev.fd, VFIO_DEVICE_IOEVENTFD, &arg));
	arg.fd = fd;
	for (i = 0; i < ARRAY_SIZE(regions); i++) {
		arg.offset = (__u64)regions[i] << VFIO_TEST_OFFSET_SHIFT;
		EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_DEVICE_IOEVENTFD, &arg));
		EXPECT_EQ(EINVAL, errno);
	}
	close(fd);
}

TEST_F(layout, bad_requests)
{
	__u64 size = t1_bar_size(&self->dev, 2);
	__u64 offset = t1_bar_offset(&self->dev, 2, 0);
	void *map;

	EXPECT_EQ(-EINVAL, __t1_bar_mmap(&self->dev, 2, size, PAGE, &map));
	EXPECT_EQ(-EINVAL, __t1_bar_mmap(&self->dev, 2, size - PAGE, 2 * PAGE, &map));
	EXPECT_EQ(-EINVAL, __t1_bar_mmap(&self->dev, 1, 0, PAGE, &map));
	EXPECT_EQ(-EINVAL, __t1_bar_mmap(&self->dev, VFIO_PCI_ROM_REGION_INDEX, 0, PAGE, &map));
	EXPECT_EQ(-EINVAL, __t1_bar_mmap(&self->dev, VFIO_PCI_CONFIG_REGION_INDEX, 0, PAGE,
					 &map));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, self->dev.fd, offset));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->dev.fd, 1ULL << 62));
	EXPECT_EQ(EINVAL, errno);
}

TEST_HARNESS_MAIN
