// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where mmap() puts a BAR: at an address that is the same as the BAR's modulo the
 * largest page that fits, unless the user asks for another. So large pages fit, and
 * for DMA as well where the IOVA is that address.
 *
 * Fails on stock 6.1, but for any_page, hint and fixed: there, mmap() takes the first
 * page that is free.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_iommu.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"

#define MIB	(1UL << 20)
#define GIB	(1UL << 30)
#define LARGE	(2 * MIB)
#define HUGE	GIB

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* The physical address of BAR 2: everybody may read it. */
static __u64 bar_start(const char *bdf)
{
	char path[PATH_MAX];
	__u64 start = 0;
	FILE *f;
	int i;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource", bdf);
	f = fopen(path, "r");
	T1_ASSERT(f);
	for (i = 0; i <= 2; i++)
		T1_ASSERT(fscanf(f, "%llx %*x %*x", &start) == 1);
	fclose(f);
	return start;
}

struct bar {
	struct t1_container c;
	struct t1_device dev;
	__u64 phys, size;
};

static void bar_open(struct bar *bar, const char *bdf)
{
	t1_container_open(&bar->c);
	t1_device_open(&bar->dev, &bar->c, bdf);
	bar->size = t1_bar_size(&bar->dev, 2);
	bar->phys = bar_start(bdf);
	T1_ASSERT(bar->phys);
}

static void bar_close(struct bar *bar)
{
	t1_device_close(&bar->dev);
	t1_container_close(&bar->c);
}

static void *map_at(struct bar *bar, void *addr, __u64 offset, __u64 size, int flags)
{
	return mmap(addr, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, bar->dev.fd,
		    t1_bar_offset(&bar->dev, 2, offset));
}

/* Memory that takes a page, so that no mapping after it is where it should be by chance */
static void *take_page(void)
{
	void *page = mmap(NULL, T1_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	T1_ASSERT(page != MAP_FAILED);
	return page;
}

/* Room of this size, at an address that is not congruent to any BAR's */
static void *find_room(__u64 size)
{
	char *room = mmap(NULL, size + LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	T1_ASSERT(room != MAP_FAILED);
	munmap(room, size + LARGE);
	return (void *)((((unsigned long)room + LARGE - 1) & ~(LARGE - 1)) + T1_PAGE);
}

static bool congruent(struct bar *bar, void *addr, __u64 offset, __u64 page)
{
	return !(((unsigned long)addr - bar->phys - offset) & (page - 1));
}

/* Four times, for each has a new neighbour: at how many addresses is it congruent? */
static unsigned int count_congruent(struct bar *bar, __u64 offset, __u64 size, __u64 page)
{
	void *pages[4], *maps[4];
	unsigned int i, count = 0;

	for (i = 0; i < 4; i++) {
		pages[i] = take_page();
		maps[i] = map_at(bar, NULL, offset, size, 0);
		T1_ASSERT(maps[i] != MAP_FAILED);
		count += congruent(bar, maps[i], offset, page);
	}
	for (i = 0; i < 4; i++) {
		munmap(maps[i], size);
		munmap(pages[i], T1_PAGE);
	}
	return count;
}

#define expect_congruent(offset, size, page)				\
	EXPECT_EQ(4, count_congruent(&self->bar, offset, size, page))

FIXTURE(address) {
	struct bar bar;
};

FIXTURE_SETUP(address)
{
	bar_open(&self->bar, t1_require(T1_IVSHMEM, 0));
	if (self->bar.size < 8 * MIB)
		T1_SKIP("BAR 2 has %llu bytes and not %lu", self->bar.size, 8 * MIB);
}

FIXTURE_TEARDOWN(address)
{
	bar_close(&self->bar);
}

TEST_F(address, whole)
{
	expect_congruent(0, self->bar.size, LARGE);
}

TEST_F(address, one_page)
{
	expect_congruent(0, LARGE, LARGE);
}

TEST_F(address, part)
{
	expect_congruent(LARGE, 2 * LARGE, LARGE);
	expect_congruent(MIB, 2 * LARGE, LARGE);
	expect_congruent(T1_PAGE, 2 * LARGE - T1_PAGE, LARGE);
	expect_congruent(LARGE - T1_PAGE, LARGE + T1_PAGE, LARGE);
}

/* No large page fits: any address will do. */
TEST_F(address, any_page)
{
	expect_congruent(0, T1_PAGE, T1_PAGE);
	expect_congruent(0, MIB, T1_PAGE);
	expect_congruent(T1_PAGE, LARGE, T1_PAGE);
}

TEST_F(address, hint)
{
	void *room = find_room(4 * LARGE), *bar, *other;

	bar = map_at(&self->bar, room, 0, 2 * LARGE, 0);
	EXPECT_EQ(room, bar);
	/* The same again: somebody is there. */
	other = map_at(&self->bar, room, 0, 2 * LARGE, 0);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_NE(room, other);
	EXPECT_TRUE(congruent(&self->bar, other, 0, LARGE));
	munmap(other, 2 * LARGE);
	munmap(bar, 2 * LARGE);
}

TEST_F(address, fixed)
{
	void *room = find_room(4 * LARGE);

	EXPECT_EQ(room, map_at(&self->bar, room, 0, 2 * LARGE, MAP_FIXED));
	EXPECT_EQ(room, map_at(&self->bar, room, 0, 2 * LARGE, MAP_FIXED));
	EXPECT_EQ(MAP_FAILED, map_at(&self->bar, room, 0, 2 * LARGE, MAP_FIXED_NOREPLACE));
	EXPECT_EQ(EEXIST, errno);
	munmap(room, 2 * LARGE);
	EXPECT_EQ(room, map_at(&self->bar, room, 0, 2 * LARGE, MAP_FIXED_NOREPLACE));
	munmap(room, 2 * LARGE);
}

/* The memory shows where it should: a page of each end, through two mappings. */
TEST_F(address, contents)
{
	__u32 *whole = map_at(&self->bar, NULL, 0, self->bar.size, 0);
	__u32 *part = map_at(&self->bar, NULL, MIB, 2 * LARGE, 0);

	ASSERT_NE(MAP_FAILED, whole);
	ASSERT_NE(MAP_FAILED, part);
	whole[MIB / 4] = 0x1234;
	EXPECT_EQ(0x1234, part[0]);
	part[LARGE / 2 - 1] = 0x5678;
	EXPECT_EQ(0x5678, whole[(MIB + 2 * LARGE) / 4 - 1]);
	munmap(part, 2 * LARGE);
	munmap(whole, self->bar.size);
}

/* In the low 2 GiB, for IOMMUs are not as wide as a CPU's addresses. */
TEST_F(address, iova_is_address)
{
	const char *edu = t1_require(T1_EDU, 0);
	void *page = take_page(), *low, *bar;
	struct t1_rig rig;
	__u64 iova;

	t1_rig_open(&rig, edu);
	low = mmap(NULL, T1_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, low);
	bar = map_at(&self->bar, NULL, 0, self->bar.size, MAP_32BIT);
	ASSERT_NE(MAP_FAILED, bar);
	iova = (unsigned long)bar;
	EXPECT_GT(1UL << 31, iova);
	t1_map(&rig.c, bar, iova, self->bar.size, T1_RW);
	/* Ranges are short where large pages do not fit. */
	EXPECT_EQ(1, t1_told(&rig.c, "vfio-peer-ranges"));
	if (t1_tables_visible())
		EXPECT_EQ(LARGE / T1_PAGE, t1_entry_pages(edu, iova));
	t1_unmap(&rig.c, iova, self->bar.size);
	munmap(bar, self->bar.size);
	munmap(low, T1_PAGE);
	munmap(page, T1_PAGE);
	t1_rig_close(&rig);
}

/* The same with the largest pages, where there is a BAR for them */
FIXTURE(huge) {
	struct bar bar;
};

FIXTURE_SETUP(huge)
{
	const char *bdf = t1_require(T1_TESTDEV, 0);

	if (t1_has_function("kasan_report"))
		T1_SKIP("KASAN has no shadow for a BAR of 128 GiB");
	bar_open(&self->bar, bdf);
	if (self->bar.size < 4 * HUGE)
		T1_SKIP("BAR 2 has %llu bytes and not %lu", self->bar.size, 4 * HUGE);
}

FIXTURE_TEARDOWN(huge)
{
	bar_close(&self->bar);
}

TEST_F(huge, whole)
{
	expect_congruent(0, self->bar.size, HUGE);
}

TEST_F(huge, part)
{
	expect_congruent(0, HUGE, HUGE);
	expect_congruent(HUGE / 2, 2 * HUGE, HUGE);
	expect_congruent(HUGE / 2, HUGE, LARGE);
	expect_congruent(0, 64 * MIB, LARGE);
}

TEST_HARNESS_MAIN
