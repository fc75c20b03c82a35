// SPDX-License-Identifier: GPL-2.0-only
/*
 * RAM that is mapped for DMA: the device reaches the pages that are there, whatever
 * their sizes and order, each counts as locked memory as long as it is mapped, and all
 * are unpinned afterwards.
 *
 * Huge pages are pinned many at a time. What a device only reads fails on stock 6.1:
 * it goes on reading the zero page.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_edu.h"
#include "../lib/type1_find.h"
#include "../lib/type1_rig.h"

#define HUGE_SIZE	(2UL << 20)
#define SIZE		(2 * HUGE_SIZE)
#define IOVA		0x2000000UL	/* edu has 28 bits */
#define KIB(size)	((size) / 1024)

FIXTURE(ram) {
	struct t1_rig rig;
	char *area;	/* 2 * SIZE, the first half of it for the tests */
	__u64 locked;
	long pinned;	/* by all, -1 if only root can tell */
};

/*
 * What is pinned just now: the kernel counts what comes and what goes, for each CPU, and
 * root can have it added up.
 */
static long pinned(void)
{
	long value, sum = 0;
	int found = 0;
	char name[64];
	FILE *f = fopen("/proc/sys/vm/stat_refresh", "w");

	if (!f)
		return -1;
	fputs("1", f);
	fclose(f);
	f = fopen("/proc/vmstat", "r");
	if (!f)
		return -1;
	while (fscanf(f, "%63s %ld", name, &value) == 2) {
		if (!strcmp(name, "nr_foll_pin_acquired"))
			sum += value, found++;
		else if (!strcmp(name, "nr_foll_pin_released"))
			sum -= value, found++;
	}
	fclose(f);
	return found == 2 ? sum : -1;
}

FIXTURE_SETUP(ram)
{
	t1_rig_open(&self->rig, t1_require(T1_EDU, 0));
	self->area = mmap(NULL, 2 * SIZE + HUGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area);
	self->area += -(unsigned long)self->area % HUGE_SIZE;
	self->locked = t1_locked_kib();
	self->pinned = pinned();
}

FIXTURE_TEARDOWN(ram)
{
	EXPECT_EQ(self->locked, t1_locked_kib());
	EXPECT_EQ(self->pinned, pinned());
	t1_rig_close(&self->rig);
}

/* Is the memory from @start on in one huge page? */
static bool is_huge(void *start)
{
	unsigned long from, kib = 0;
	char line[256];
	bool mine = false;
	FILE *f = fopen("/proc/self/smaps", "r");

	T1_ASSERT(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%*x ", &from) == 1)
			mine = from <= (unsigned long)start;
		if (mine)
			sscanf(line, "AnonHugePages: %lu kB", &kib);
		if (from > (unsigned long)start)
			break;
	}
	fclose(f);
	return kib >= HUGE_SIZE / 1024;
}

/* Each page of @size begins with its number and one. */
static void fill(char *area, unsigned long size)
{
	unsigned long i;

	for (i = 0; i < size / T1_PAGE; i++)
		*(__u32 *)(area + i * T1_PAGE) = i + 1;
}

static __u32 device_reads(struct t1_rig *rig, __u64 iova)
{
	edu_dma_from(rig->bar0, iova, 0, sizeof(__u32));
	edu_dma_to(rig->bar0, T1_RIG_RAM, 0, sizeof(__u32));
	return __atomic_load_n(rig->ram, __ATOMIC_ACQUIRE);
}

/* Some pages at both ends and in between */
static const unsigned int looked_at[] = { 0, 1, 2, 255, 256, 510, 511 };
#define LOOKS	(sizeof(looked_at) / sizeof(*looked_at))

FIXTURE_VARIANT(ram) {
	int advice;
	bool touched;
};

FIXTURE_VARIANT_ADD(ram, small) { .advice = MADV_NOHUGEPAGE, .touched = true };
FIXTURE_VARIANT_ADD(ram, huge) { .advice = MADV_HUGEPAGE, .touched = true };
FIXTURE_VARIANT_ADD(ram, huge_untouched) { .advice = MADV_HUGEPAGE, .touched = false };

static void __prepare(struct __test_metadata *_metadata, char *area, int advice, bool touched)
{
	if (madvise(area, SIZE, advice) && advice == MADV_HUGEPAGE)
		T1_SKIP("no transparent huge pages: CONFIG_TRANSPARENT_HUGEPAGE");
	if (touched)
		fill(area, SIZE);
	if (touched && advice == MADV_HUGEPAGE && !is_huge(area))
		T1_SKIP("no huge page is free: try again with more memory");
}

#define prepare(...)	__prepare(_metadata, __VA_ARGS__)

/* From any page to any other, both huge pages are pinned as far as they are mapped. */
TEST_F(ram, any_piece)
{
	static const struct { unsigned int first, pages; } pieces[] = {
		{ 0, 1024 }, { 0, 512 }, { 511, 1 }, { 511, 2 }, { 1, 1022 }, { 300, 424 },
	};
	unsigned int i;

	prepare(self->area, variant->advice, variant->touched);
	for (i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		unsigned long size = pieces[i].pages * T1_PAGE;

		t1_map(&self->rig.c, self->area + pieces[i].first * T1_PAGE, IOVA, size, T1_RW);
		EXPECT_EQ(self->locked + KIB(size), t1_locked_kib());
		if (self->pinned >= 0)
			EXPECT_EQ(self->pinned + (long)pieces[i].pages, pinned());
		fill(self->area, SIZE);
		EXPECT_EQ(pieces[i].first + pieces[i].pages,
			  device_reads(&self->rig, IOVA + size - T1_PAGE));
		t1_unmap(&self->rig.c, IOVA, size);
		EXPECT_EQ(self->locked, t1_locked_kib());
	}
}

/*
 * The pages of a huge page, backwards by pairs: its first and last page are at their
 * places, and what is in between is not.
 */
TEST_F(ram, shuffled)
{
	char *to = self->area + SIZE;
	unsigned int i;

	prepare(self->area, variant->advice, variant->touched);
	fill(self->area, SIZE);
	for (i = 0; i < 512; i++) {
		unsigned int from = i && i < 511 ? 511 - i : i;

		ASSERT_EQ(to + i * T1_PAGE,
			  mremap(self->area + from * T1_PAGE, T1_PAGE, T1_PAGE,
				 MREMAP_MAYMOVE | MREMAP_FIXED, to + i * T1_PAGE));
	}
	t1_map(&self->rig.c, to, IOVA, HUGE_SIZE, T1_RW);
	EXPECT_EQ(self->locked + KIB(HUGE_SIZE), t1_locked_kib());
	for (i = 0; i < LOOKS; i++)
		EXPECT_EQ(*(__u32 *)(to + looked_at[i] * T1_PAGE),
			  device_reads(&self->rig, IOVA + looked_at[i] * T1_PAGE));
	t1_unmap(&self->rig.c, IOVA, HUGE_SIZE);
}

/* One page more than may be locked, in the midst of a huge one, and nothing is. */
TEST_F(ram, limit)
{
	struct rlimit before, limit;

	if (!geteuid())
		SKIP(return, "root may lock what it likes");
	prepare(self->area, variant->advice, variant->touched);
	ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &before));
	limit = (struct rlimit){ self->locked * 1024 + 100 * T1_PAGE, before.rlim_max };
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	EXPECT_EQ(-ENOMEM, __t1_map(&self->rig.c, self->area, IOVA, SIZE, T1_RW));
	EXPECT_EQ(-ENOMEM, __t1_map(&self->rig.c, self->area, IOVA, 101 * T1_PAGE, T1_RW));
	EXPECT_EQ(self->locked, t1_locked_kib());
	EXPECT_EQ(self->pinned, pinned());
	t1_map(&self->rig.c, self->area, IOVA, 100 * T1_PAGE, T1_RW);
	EXPECT_EQ(self->locked + KIB(100 * T1_PAGE), t1_locked_kib());
	t1_unmap(&self->rig.c, IOVA, 100 * T1_PAGE);
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &before));
}

/* A device that only reads sees what is written after the mapping. */
TEST_F(ram, written_later)
{
	unsigned int i;

	prepare(self->area, variant->advice, variant->touched);
	t1_map(&self->rig.c, self->area, IOVA, SIZE, VFIO_DMA_MAP_FLAG_READ);
	EXPECT_EQ(self->locked + KIB(SIZE), t1_locked_kib());
	fill(self->area, SIZE);
	for (i = 0; i < LOOKS; i++)
		EXPECT_EQ(looked_at[i] + 1,
			  device_reads(&self->rig, IOVA + looked_at[i] * T1_PAGE));
	t1_unmap(&self->rig.c, IOVA, SIZE);
}

/* The same for a page that has been read only, and for the copy of a file's. */
TEST_F(ram, read_before)
{
	int fd = memfd_create("ram_map_test", 0);
	char *copy;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, T1_PAGE));
	copy = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, copy);
	ASSERT_EQ(0, madvise(self->area, SIZE, variant->advice));
	ASSERT_EQ(0, memcmp(self->area, copy, T1_PAGE));
	t1_map(&self->rig.c, self->area, IOVA, SIZE, VFIO_DMA_MAP_FLAG_READ);
	t1_map(&self->rig.c, copy, IOVA + SIZE, T1_PAGE, VFIO_DMA_MAP_FLAG_READ);
	*(__u32 *)self->area = 7;
	*(__u32 *)copy = 8;
	EXPECT_EQ(7, device_reads(&self->rig, IOVA));
	EXPECT_EQ(8, device_reads(&self->rig, IOVA + SIZE));
	t1_unmap(&self->rig.c, IOVA, SIZE + T1_PAGE);
	munmap(copy, T1_PAGE);
	close(fd);
}

/* What userspace may only read is not copied for a device. */
TEST_F(ram, not_to_be_written)
{
	ASSERT_EQ(0, mprotect(self->area, T1_PAGE, PROT_READ));
	t1_map(&self->rig.c, self->area, IOVA, 2 * T1_PAGE, VFIO_DMA_MAP_FLAG_READ);
	EXPECT_EQ(self->locked + KIB(T1_PAGE), t1_locked_kib());
	t1_unmap(&self->rig.c, IOVA, 2 * T1_PAGE);
	EXPECT_EQ(-EFAULT, __t1_map(&self->rig.c, self->area, IOVA, T1_PAGE, T1_RW));
}

TEST_HARNESS_MAIN
