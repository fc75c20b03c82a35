// SPDX-License-Identifier: GPL-2.0-only
/*
 * A whole BAR is mapped for DMA: it counts as one mapping, whether large pages fit
 * or not, or are not wanted. Without them the kernel cuts it into ranges, which are
 * suspended, resumed, revoked and unmapped one by one, and others come in between.
 *
 * Fails where each range counts as a mapping, or each page. Stock 6.1 has neither
 * ranges nor suspends anything.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_delay.h"
#include "../lib/type1_fail.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_iommu.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"

#define IOVA	0x4000000UL	/* aligned as the BAR is */
#define PIECE	0x400000UL	/* a range has no more where large pages do not fit */
#define SIZE	(4 * PIECE)	/* of the BAR, to be done with it soon */
#define LARGE	512		/* pages */

#define DISABLE_HUGEPAGES "/sys/module/vfio_iommu_type1/parameters/disable_hugepages"
#define DMA_ENTRY_LIMIT	"/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

FIXTURE(size) {
	struct t1_rig rig;
	struct t1_target target;
	const char *bdf;	/* of the target */
	char *bar;
	__u64 iova, size;
};

FIXTURE_VARIANT(size) {
	__u64 shift;	/* of the IOVA */
	bool small;
	int pages;	/* of an entry of the IOMMU's tables */
};

FIXTURE_VARIANT_ADD(size, large) { .pages = LARGE };
FIXTURE_VARIANT_ADD(size, not_congruent) { .shift = T1_PAGE, .pages = 1 };
FIXTURE_VARIANT_ADD(size, disable_hugepages) { .small = true, .pages = 1 };

/* Maps as with that value of the module's parameter */
static int map_with(struct t1_container *c, bool small, void *bar, __u64 iova, __u64 size)
{
	char before[8];
	int ret;

	if (!small)
		return __t1_map(c, bar, iova, size, T1_RW);
	t1_read_file(DISABLE_HUGEPAGES, before, sizeof(before));
	t1_write_file(DISABLE_HUGEPAGES, "Y");
	ret = __t1_map(c, bar, iova, size, T1_RW);
	t1_write_file(DISABLE_HUGEPAGES, before);
	return ret;
}

static bool may_set(const char *parameter)
{
	char now[16];

	t1_read_file(parameter, now, sizeof(now));
	return !__t1_write_file(parameter, now);
}

/* With its BAR, or that much of it */
static void open_target(struct t1_target *target, const char *bdf, __u64 most,
			char **bar, __u64 *size)
{
	t1_target_open(target, bdf, 2, 0);
	*size = t1_bar_size(&target->dev, 2);
	if (*size > most)
		*size = most;
	*bar = t1_bar_mmap(&target->dev, 2, 0, *size);
}

static void close_target(struct t1_target *target, char *bar, __u64 size)
{
	munmap(bar, size);
	t1_target_close(target);
}

FIXTURE_SETUP(size)
{
	const char *edu = t1_require(T1_EDU, 0);

	self->bdf = t1_require(T1_IVSHMEM, 0);
	if (variant->small && !may_set(DISABLE_HUGEPAGES))
		T1_SKIP("cannot set disable_hugepages: run as root");
	t1_rig_open(&self->rig, edu);
	open_target(&self->target, self->bdf, SIZE, &self->bar, &self->size);
	if (self->size < SIZE)
		T1_SKIP("BAR 2 has %llu bytes and not %lu", self->size, SIZE);
	self->iova = IOVA + variant->shift;
	ASSERT_EQ(0, map_with(&self->rig.c, variant->small, self->bar, self->iova, self->size));
}

/* A test leaves the mapping, or maps it again. */
FIXTURE_TEARDOWN(size)
{
	EXPECT_EQ(self->rig.avail - 2, t1_dma_avail(&self->rig.c));
	t1_unmap(&self->rig.c, self->iova, self->size);
	EXPECT_EQ(0, t1_told(&self->rig.c, "vfio-peer-ranges"));
	EXPECT_FALSE(t1_rig_translates(&self->rig, self->iova));
	EXPECT_FALSE(t1_rig_translates(&self->rig, self->iova + self->size - T1_PAGE));
	close_target(&self->target, self->bar, self->size);
	t1_rig_close(&self->rig);
}

/* Each part is where it should be: of how many does the first word arrive, and the last? */
static unsigned int arriving(struct t1_rig *rig, char *bar, __u64 iova, __u64 size)
{
	unsigned int count = 0;
	__u64 pos;

	for (pos = 0; pos < size; pos += PIECE) {
		count += t1_dma_arrives(rig, iova + pos, (__u32 *)(bar + pos));
		count += t1_dma_arrives(rig, iova + pos + PIECE - 4,
					(__u32 *)(bar + pos + PIECE - 4));
	}
	return count;
}

#define expect_all(rig)							\
	EXPECT_EQ(2 * self->size / PIECE,				\
		  arriving(rig, self->bar, self->iova, self->size))

TEST_F(size, one_mapping)
{
	long ranges = t1_told(&self->rig.c, "vfio-peer-ranges");

	EXPECT_EQ(self->rig.avail - 2, t1_dma_avail(&self->rig.c));
	EXPECT_EQ(variant->pages == LARGE ? 1 : self->size / PIECE + !!variant->shift, ranges);
	expect_all(&self->rig);
}

/* Of the size that was asked for, at both ends and in the middle */
TEST_F(size, page_size)
{
	const char *edu = self->rig.edu.bdf;

	if (!t1_tables_visible())
		SKIP(return, "%s", T1_TABLES_HINT);
	EXPECT_EQ(variant->pages, t1_entry_pages(edu, self->iova));
	EXPECT_EQ(variant->pages, t1_entry_pages(edu, self->iova + self->size / 2));
	EXPECT_EQ(variant->pages, t1_entry_pages(edu, self->iova + self->size - T1_PAGE));
}

TEST_F(size, off_and_on)
{
	t1_set_memory(&self->target.dev, false);
	EXPECT_EQ(t1_told(&self->rig.c, "vfio-peer-ranges"),
		  t1_told(&self->rig.c, "vfio-peer-suspended"));
	t1_set_memory(&self->target.dev, true);
	EXPECT_EQ(0, t1_told(&self->rig.c, "vfio-peer-suspended"));
	expect_all(&self->rig);
	if (t1_tables_visible())
		EXPECT_EQ(variant->pages, t1_entry_pages(self->rig.edu.bdf, self->iova));
}

TEST_F(size, map_while_off)
{
	t1_set_memory(&self->target.dev, false);
	t1_unmap(&self->rig.c, self->iova, self->size);
	ASSERT_EQ(0, map_with(&self->rig.c, variant->small, self->bar, self->iova, self->size));
	EXPECT_EQ(t1_told(&self->rig.c, "vfio-peer-ranges"),
		  t1_told(&self->rig.c, "vfio-peer-suspended"));
	t1_set_memory(&self->target.dev, true);
	expect_all(&self->rig);
}

TEST_F(size, release)
{
	close_target(&self->target, self->bar, self->size);
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(&self->rig.c));
	EXPECT_FALSE(t1_rig_translates(&self->rig, self->iova + self->size - T1_PAGE));
	open_target(&self->target, self->bdf, SIZE, &self->bar, &self->size);
	EXPECT_EQ(0, arriving(&self->rig, self->bar, self->iova, self->size));
	ASSERT_EQ(0, map_with(&self->rig.c, variant->small, self->bar, self->iova, self->size));
}

/* One more device that does DMA, in the container of the first */
static void open_second(struct t1_rig *second, struct t1_rig *rig, const char *edu)
{
	t1_device_open(&second->edu, &rig->c, edu);
	second->bar0 = t1_bar_mmap(&second->edu, 0, 0, T1_EDU_BAR_SIZE);
	second->ram = rig->ram;
}

static void close_second(struct t1_rig *second)
{
	munmap(second->bar0, T1_EDU_BAR_SIZE);
	t1_device_close(&second->edu);
}

/* To have it in a domain of its own, which has to be filled, the first try fails. */
#define require_own_domain() do {					\
	if (geteuid())							\
		SKIP(return, "needs root, to let something fail");	\
	if (__t1_fail_setup())						\
		SKIP(return, "%s", T1_FAIL_HINT);			\
	t1_fail_function("vfio_peer_attach_group");			\
} while (0)

#define end_own_domain() do {						\
	EXPECT_TRUE(t1_function_failed());				\
	t1_fail_function(NULL);						\
} while (0)

TEST_F(size, attach)
{
	const char *edu = t1_require(T1_EDU, 1);
	struct t1_rig second;

	require_own_domain();
	open_second(&second, &self->rig, edu);
	end_own_domain();
	expect_all(&second);
	if (t1_tables_visible())
		EXPECT_EQ(variant->pages, t1_entry_pages(edu, self->iova));
	t1_set_memory(&self->target.dev, false);
	t1_set_memory(&self->target.dev, true);
	expect_all(&second);
	close_second(&second);
	expect_all(&self->rig);
}

/* With RAM before and after it; what is device memory counts once. */
TEST_F(size, between_ram)
{
	__u64 total = self->size + 2 * T1_PAGE, iova = self->iova - T1_PAGE;
	char *area = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, area);
	ASSERT_EQ(area + T1_PAGE,
		  mmap(area + T1_PAGE, self->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		       self->target.dev.fd, t1_bar_offset(&self->target.dev, 2, 0)));
	t1_unmap(&self->rig.c, self->iova, self->size);
	ASSERT_EQ(0, map_with(&self->rig.c, variant->small, area, iova, total));
	EXPECT_EQ(self->rig.avail - 2, t1_dma_avail(&self->rig.c));
	EXPECT_TRUE(t1_dma_arrives(&self->rig, iova, (__u32 *)area));
	EXPECT_TRUE(t1_dma_arrives(&self->rig, iova + total - 4, (__u32 *)(area + total - 4)));
	expect_all(&self->rig);
	t1_unmap(&self->rig.c, iova, total);
	munmap(area, total);
	ASSERT_EQ(0, map_with(&self->rig.c, variant->small, self->bar, self->iova, self->size));
}

/*
 * A walk lets go after each range of small pages that were asked for. Here it
 * waits after the first one. Another task then finds a mapping in two states.
 */
static void memory_off(void *arg)
{
	struct t1_target *target = arg;

	t1_set_memory(&target->dev, false);
}

static void memory_on(void *arg)
{
	struct t1_target *target = arg;

	t1_set_memory(&target->dev, true);
}

static bool walk_can_be_stopped(void)
{
	struct utsname kernel;

	return !uname(&kernel) && !strstr(kernel.version, " PREEMPT ") &&
	       t1_has_function("vfio_peers_walk");
}

#define require_stop() do {						\
	if (!variant->small)						\
		SKIP(return, "for disable_hugepages only");		\
	if (!t1_race_usable())						\
		SKIP(return, "%s", T1_RACE_HINT);			\
	if (!walk_can_be_stopped())					\
		SKIP(return, "a kernel that preempts anywhere, or inlines this function"); \
} while (0)

#define begin_walk(race, call)						\
	t1_race_begin_free(race, "__cond_resched", "vfio_peers_walk", call, &self->target)

TEST_F(size, unmap_during_suspend)
{
	long ranges = t1_told(&self->rig.c, "vfio-peer-ranges");
	struct t1_race race;

	require_stop();
	begin_walk(&race, memory_off);
	EXPECT_EQ(1, t1_told(&self->rig.c, "vfio-peer-suspended"));
	t1_unmap(&self->rig.c, self->iova, self->size);
	ASSERT_EQ(0, map_with(&self->rig.c, true, self->bar, self->iova, self->size));
	EXPECT_EQ(ranges, t1_told(&self->rig.c, "vfio-peer-suspended"));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(ranges, t1_told(&self->rig.c, "vfio-peer-suspended"));
	t1_set_memory(&self->target.dev, true);
	expect_all(&self->rig);
}

TEST_F(size, unmap_during_resume)
{
	long ranges = t1_told(&self->rig.c, "vfio-peer-ranges");
	struct t1_race race;

	require_stop();
	t1_set_memory(&self->target.dev, false);
	begin_walk(&race, memory_on);
	EXPECT_EQ(ranges - 1, t1_told(&self->rig.c, "vfio-peer-suspended"));
	t1_unmap(&self->rig.c, self->iova, self->size);
	ASSERT_EQ(0, map_with(&self->rig.c, true, self->bar, self->iova, self->size));
	EXPECT_EQ(0, t1_told(&self->rig.c, "vfio-peer-suspended"));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	expect_all(&self->rig);
}

/* A new domain gets what is mapped so far, and the walk does the rest in both. */
TEST_F(size, attach_during_resume)
{
	const char *edu = t1_require(T1_EDU, 1);
	struct t1_rig second;
	struct t1_race race;

	require_stop();
	t1_set_memory(&self->target.dev, false);
	require_own_domain();
	begin_walk(&race, memory_on);
	open_second(&second, &self->rig, edu);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	end_own_domain();
	expect_all(&self->rig);
	expect_all(&second);
	close_second(&second);
}

static void release(void *data)
{
	t1_target_close(data);
}

/* The mapping goes as a whole, however far the walk is. */
TEST_F(size, unmap_during_revoke)
{
	struct t1_race race;
	__u64 unmapped;

	require_stop();
	munmap(self->bar, self->size);
	begin_walk(&race, release);
	EXPECT_EQ(0, __t1_unmap(&self->rig.c, self->iova, self->size, &unmapped));
	EXPECT_EQ(0, unmapped);
	EXPECT_EQ(0, t1_told(&self->rig.c, "vfio-peer-ranges"));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(&self->rig.c));
	open_target(&self->target, self->bdf, SIZE, &self->bar, &self->size);
	ASSERT_EQ(0, map_with(&self->rig.c, true, self->bar, self->iova, self->size));
}

/* As many ranges as mappings, for so few; then ENOSPC, and nothing has changed. */
TEST(limit)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf = t1_require(T1_IVSHMEM, 0);
	const char *other_bdf = t1_require(T1_IVSHMEM, 1);
	__u64 iova = IOVA + T1_PAGE, size, fits = 7 * PIECE;
	struct t1_target target, other;
	char limit[16], *bar;
	struct t1_rig rig;

	if (!may_set(DMA_ENTRY_LIMIT))
		SKIP(return, "cannot set dma_entry_limit: run as root");
	open_target(&target, bdf, 2 * SIZE, &bar, &size);
	t1_target_open(&other, other_bdf, 2, 0);
	if (size < fits + PIECE)
		SKIP(return, "BAR 2 has %llu bytes and not %llu", size, fits + PIECE);
	t1_read_file(DMA_ENTRY_LIMIT, limit, sizeof(limit));
	t1_write_file(DMA_ENTRY_LIMIT, "8");
	t1_rig_open(&rig, edu);
	t1_write_file(DMA_ENTRY_LIMIT, limit);

	EXPECT_EQ(-ENOSPC, __t1_map(&rig.c, bar, iova, size, T1_RW));
	EXPECT_EQ(7, t1_dma_avail(&rig.c));
	EXPECT_EQ(0, t1_told(&rig.c, "vfio-peer-ranges"));
	EXPECT_FALSE(t1_dma_arrives(&rig, iova, (__u32 *)bar));

	t1_map(&rig.c, bar, iova, fits, T1_RW);
	EXPECT_EQ(6, t1_dma_avail(&rig.c));
	EXPECT_EQ(8, t1_told(&rig.c, "vfio-peer-ranges"));
	EXPECT_EQ(-ENOSPC, __t1_map(&rig.c, bar, 2 * IOVA, T1_PAGE, T1_RW));
	/* Another device has ranges of its own. */
	t1_map(&rig.c, other.mem, 2 * IOVA, T1_RIG_SIZE, T1_RW);
	EXPECT_TRUE(t1_dma_arrives(&rig, 2 * IOVA, other.mem));
	EXPECT_TRUE(t1_dma_arrives(&rig, iova + fits - 4, (__u32 *)(bar + fits - 4)));
	t1_unmap(&rig.c, iova, fits);
	t1_map(&rig.c, bar, iova, T1_PAGE, T1_RW);
	t1_unmap(&rig.c, iova, T1_PAGE);
	t1_unmap(&rig.c, 2 * IOVA, T1_RIG_SIZE);

	t1_rig_close(&rig);
	t1_target_close(&other);
	close_target(&target, bar, size);
}

/*
 * 256 GiB at any IOVA, of a BAR of 128 GiB that is mapped twice: one of 256 GiB would
 * push those of other devices to where an IOMMU of 39 bits does not get to. It takes
 * address space only. No engine here reaches it.
 */
#define HALF	(128UL << 30)
#define HUGE	(2 * HALF)
#define ENTRY	(2UL << 30)	/* bytes that count as a mapping */

FIXTURE(huge) {
	struct t1_rig rig;
	struct t1_device dev;
	char *bar;
};

static void map_half(struct t1_device *dev, char *addr)
{
	T1_ASSERT(mmap(addr, HALF, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, dev->fd,
		       t1_bar_offset(dev, 2, 0)) == addr);
}

FIXTURE_SETUP(huge)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf = t1_require(T1_TESTDEV, 0);

	if (t1_has_function("kasan_report"))
		T1_SKIP("KASAN has no shadow for a BAR of 128 GiB");
	t1_rig_open(&self->rig, edu);
	t1_device_open(&self->dev, &self->rig.c, bdf);
	if (t1_bar_size(&self->dev, 2) < HALF)
		T1_SKIP("BAR 2 has %llu bytes and not %lu", t1_bar_size(&self->dev, 2), HALF);
	self->bar = mmap(NULL, HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			 -1, 0);
	ASSERT_NE(MAP_FAILED, self->bar);
	map_half(&self->dev, self->bar);
	map_half(&self->dev, self->bar + HALF);
}

FIXTURE_TEARDOWN(huge)
{
	munmap(self->bar, HUGE);
	t1_device_close(&self->dev);
	t1_rig_close(&self->rig);
}

TEST_F(huge, large_pages)
{
	struct t1_container *c = &self->rig.c;

	/* There is nothing to read or to write. */
	if (!t1_tables_visible())
		SKIP(return, "%s", T1_TABLES_HINT);
	t1_map(c, self->bar, HALF, HUGE, T1_RW);
	EXPECT_EQ(HUGE / ENTRY, self->rig.avail - 1 - t1_dma_avail(c));
	EXPECT_TRUE(t1_translates(self->rig.edu.bdf, HALF));
	EXPECT_TRUE(t1_translates(self->rig.edu.bdf, HALF + HUGE - T1_PAGE));
	t1_unmap(c, HALF, HUGE);
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(c));
}

/* While memory is off, for the tables would take 512 MiB, and minutes of an emulated CPU. */
TEST_F(huge, not_congruent)
{
	struct t1_container *c = &self->rig.c;
	const __u64 iova = HALF + T1_PAGE;

	t1_set_memory(&self->dev, false);
	t1_map(c, self->bar, iova, HUGE, T1_RW);
	EXPECT_EQ(HUGE / ENTRY, self->rig.avail - 1 - t1_dma_avail(c));
	/* A page more than fits is a range, at the end of each mapping. */
	EXPECT_EQ(HUGE / PIECE + HUGE / ENTRY, t1_told(c, "vfio-peer-ranges"));
	t1_unmap(c, iova, HUGE);
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(c));
	t1_set_memory(&self->dev, true);
}

TEST_HARNESS_MAIN
