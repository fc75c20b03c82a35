// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the paths of peer memory fails once: the first one of a
 * step, then the second one in a fresh start of it, and so on, until a step has
 * none left to fail. Whatever happens, the step is done or nothing of it is.
 *
 * Needs root and CONFIG_FAULT_INJECTION, CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_fail.h"
#include "../lib/type1_find.h"
#include "../lib/type1_iommu.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_touch.h"
#include "../lib/type1_vtest.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL
#define TOTAL	(3 * SIZE)	/* RAM, the BAR, RAM */
#define TABLE	(512 * T1_PAGE)	/* IOVAs of a page table of the IOMMU */
#define FEW	4
#define MANY	100000	/* more than any step allocates */

FIXTURE(fail) {
	struct t1_rig rig;
	struct t1_target target;
	char *area;
};

FIXTURE_SETUP(fail)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf = t1_require(T1_IVSHMEM, 0);

	if (!t1_tables_visible())
		T1_SKIP("%s", T1_TABLES_HINT);
	if (__t1_fail_setup())
		T1_SKIP("%s", T1_FAIL_HINT);
	t1_rig_open(&self->rig, edu);
	t1_target_open(&self->target, bdf, 2, 0);
	self->area = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area);
	ASSERT_EQ(self->area + SIZE,
		  mmap(self->area + SIZE, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		       self->target.dev.fd, t1_bar_offset(&self->target.dev, 2, 0)));
}

FIXTURE_TEARDOWN(fail)
{
	munmap(self->area, TOTAL);
	t1_target_close(&self->target);
	t1_rig_close(&self->rig);
}

static bool arrives(struct t1_rig *rig, struct t1_target *target)
{
	return t1_dma_arrives(rig, IOVA + SIZE, target->mem);
}

static bool gone(struct t1_rig *rig, __u64 iova, __u64 total)
{
	__u64 size = ~0ULL;

	return !__t1_unmap(&rig->c, iova, total, &size) && !size &&
	       t1_dma_avail(&rig->c) == rig->avail - 1 &&
	       !t1_translates(rig->edu.bdf, iova) &&
	       !t1_translates(rig->edu.bdf, iova + SIZE);
}

/* Each time elsewhere, or the IOMMU's page tables would be there already. */
static void map_fails(struct __test_metadata *_metadata, struct t1_rig *rig,
		      struct t1_target *target, char *area, bool on)
{
	__u64 locked = t1_locked_kib(), iova = IOVA + (on ? 0 : 32 * TABLE);
	bool more;
	int nth;

	t1_for_each_failure(nth, more) {
		iova += TABLE;
		t1_set_memory(&target->dev, on);
		t1_fail_nth(nth);
		if (__t1_map(&rig->c, area, iova, TOTAL, T1_RW)) {
			more = t1_failed();
			EXPECT_TRUE(more);
			t1_set_memory(&target->dev, true);
			EXPECT_TRUE(gone(rig, iova, TOTAL));
			EXPECT_EQ(locked, t1_locked_kib());
			continue;
		}
		more = t1_failed();
		t1_set_memory(&target->dev, true);
		EXPECT_TRUE(t1_translates(rig->edu.bdf, iova + SIZE) || more);
		t1_unmap(&rig->c, iova, TOTAL);
	}
	TH_LOG("%d allocations failed", nth - 2);
	EXPECT_LT(nth, T1_MAX_NTH);
	EXPECT_LT(5, nth);
}

TEST_F(fail, map)
{
	map_fails(_metadata, &self->rig, &self->target, self->area, true);
	map_fails(_metadata, &self->rig, &self->target, self->area, false);
	t1_map(&self->rig.c, self->area, IOVA, TOTAL, T1_RW);
	EXPECT_TRUE(arrives(&self->rig, &self->target));
	t1_unmap(&self->rig.c, IOVA, TOTAL);
}

/*
 * What cannot be restored goes as by UNMAP_DMA; turning memory on succeeds. The
 * range has whole page tables of the IOMMU, and no large page, for itself.
 */
TEST_F(fail, resume)
{
	char *bar = t1_bar_mmap(&self->target.dev, 2, T1_PAGE, 3 * TABLE);
	int nth, lost = 0;
	__u64 size;
	bool more;

	t1_for_each_failure(nth, more) {
		t1_map(&self->rig.c, bar, IOVA, 3 * TABLE, T1_RW);
		t1_set_memory(&self->target.dev, false);
		t1_fail_nth(nth);
		t1_config_write(&self->target.dev, PCI_COMMAND, 2,
				PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		more = t1_failed();
		EXPECT_EQ(0, __t1_unmap(&self->rig.c, IOVA, 3 * TABLE, &size));
		EXPECT_TRUE(size == 3 * TABLE || !size);
		lost += !size;
		EXPECT_TRUE(gone(&self->rig, IOVA, 3 * TABLE));
	}
	munmap(bar, 3 * TABLE);
	TH_LOG("%d allocations failed, %d mappings lost", nth - 2, lost);
	EXPECT_LT(nth, T1_MAX_NTH);
	EXPECT_LT(0, lost);
}

/* Both devices reach the target's memory when it is on, and only then. */
static bool both_follow(struct t1_rig *rig, struct t1_target *target, const char *bdf)
{
	bool ok;

	t1_set_memory(&target->dev, false);
	ok = !t1_translates(bdf, IOVA + SIZE) &&
	     !t1_translates(rig->edu.bdf, IOVA + SIZE);
	t1_set_memory(&target->dev, true);
	return ok && t1_translates(bdf, IOVA) && t1_translates(bdf, IOVA + SIZE) &&
	       t1_translates(rig->edu.bdf, IOVA + SIZE);
}

/* Attach with the @nth allocation failing; how many were spare? */
static void try_attach(struct __test_metadata *_metadata, struct t1_rig *rig,
		       struct t1_target *target, int group, unsigned int nth, unsigned int *left)
{
	int ret;

	t1_fail_nth(nth);
	ret = ioctl(group, VFIO_GROUP_SET_CONTAINER, &rig->c.fd);
	*left = t1_fail_spare();
	if (ret)
		return;
	EXPECT_TRUE(both_follow(rig, target, t1_find(T1_EDU, 1)));
	ASSERT_EQ(0, ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
}

/* Nothing but device memory, in whole page tables of the IOMMU */
static void bar_map_fails(struct __test_metadata *_metadata, struct t1_rig *rig, char *bar)
{
	struct t1_container *c = &rig->c;
	unsigned int avail = t1_dma_avail(c);
	int nth, ret = -1;
	bool more;

	t1_for_each_failure(nth, more) {
		t1_fail_nth(nth);
		ret = __t1_map(c, bar, IOVA + 4 * TABLE, 3 * TABLE, T1_RW);
		more = t1_failed();
		EXPECT_TRUE(!ret || ret == -ENOMEM);
		if (!ret)
			t1_unmap(c, IOVA + 4 * TABLE, 3 * TABLE);
		EXPECT_EQ(avail, t1_dma_avail(c));
		EXPECT_FALSE(t1_translates(rig->edu.bdf, IOVA + 4 * TABLE));
	}
	TH_LOG("%d allocations failed", nth - 2);
	EXPECT_EQ(0, ret);
	EXPECT_LT(nth, T1_MAX_NTH);
	EXPECT_LT(4, nth);
}

/* In each of two domains: map, unmap, fail to map */
static void map_in_two(struct __test_metadata *_metadata, struct t1_rig *rig,
		       struct t1_target *target, void *ram)
{
	const __u64 iova = IOVA + 2 * TABLE;
	const char *bdf = t1_find(T1_EDU, 1);
	char *bar = t1_bar_mmap(&target->dev, 2, T1_PAGE, 3 * TABLE);

	t1_map(&rig->c, ram, iova, SIZE, T1_RW);
	EXPECT_TRUE(t1_translates(rig->edu.bdf, iova) && t1_translates(bdf, iova));
	t1_unmap(&rig->c, iova, SIZE);
	EXPECT_TRUE(!t1_translates(rig->edu.bdf, iova) && !t1_translates(bdf, iova));
	bar_map_fails(_metadata, rig, bar);
	munmap(bar, 3 * TABLE);
}

/*
 * First the failure that an attach survives: the group keeps a domain of its own, in
 * which all is mapped once more. The last but one allocation is in the IOMMU core,
 * which cannot cope with a failure and warns. So this goes up from the first to a few
 * before. Pages do not fail there: how many it takes depends on how full the slabs are.
 * They do next, with nothing else: the core needs none.
 */
TEST_F(fail, attach)
{
	struct t1_rig *rig = &self->rig;
	unsigned int nth, left, needed;
	char path[32];
	int group;

	snprintf(path, sizeof(path), "/dev/vfio/%d", t1_group_of(t1_require(T1_EDU, 1)));
	group = open(path, O_RDWR);
	ASSERT_LE(0, group);
	t1_map(&rig->c, self->area, IOVA, TOTAL, T1_RW);

	t1_fail_function("vfio_peer_attach_group");
	ASSERT_EQ(0, ioctl(group, VFIO_GROUP_SET_CONTAINER, &rig->c.fd));
	EXPECT_TRUE(t1_function_failed());
	EXPECT_TRUE(both_follow(rig, &self->target, t1_find(T1_EDU, 1)));
	map_in_two(_metadata, rig, &self->target, self->area);
	ASSERT_EQ(0, ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
	t1_fail_function(NULL);

	t1_fail_kinds(true, false);
	try_attach(_metadata, rig, &self->target, group, MANY, &left);
	needed = MANY - left;
	TH_LOG("attached with %u allocations", needed);
	ASSERT_LT(FEW + 2, needed);
	for (nth = 1; nth + FEW < needed; nth++) {
		try_attach(_metadata, rig, &self->target, group, nth, &left);
		EXPECT_EQ(0, left);
	}

	t1_fail_kinds(false, true);
	left = 0;
	for (nth = 1; !left && nth < T1_MAX_NTH; nth++)
		try_attach(_metadata, rig, &self->target, group, nth, &left);
	TH_LOG("%u pages failed", nth - 2);
	EXPECT_LT(2, nth);
	EXPECT_LT(nth, T1_MAX_NTH);

	close(group);
	EXPECT_EQ(rig->avail - 2, t1_dma_avail(&rig->c));
	EXPECT_TRUE(arrives(rig, &self->target));
	t1_unmap(&rig->c, IOVA, TOTAL);
}

/*
 * The first group with an IOMMU comes to one without, in whose container there are
 * mappings: all of them get pinned, and device memory is looked up, that late. What the
 * one without has pinned is counted, before, then and after.
 */
TEST_F(fail, attach_first)
{
	char *bar = t1_bar_mmap(&self->target.dev, 2, T1_PAGE, 3 * TABLE), path[32];
	const char *bdf = t1_require(T1_EDU, 1), *name = t1_vtest_find(0);
	unsigned int i, avail, failures = 0;
	struct t1_container c;
	struct t1_vtest vtest;
	int nth, group, ret = -1;
	__u64 locked;
	bool more;

	if (!name)
		SKIP(return, T1_VTEST_HINT);
	snprintf(path, sizeof(path), "/dev/vfio/%d", t1_group_of(bdf));
	group = open(path, O_RDWR);
	ASSERT_LE(0, group);
	t1_container_open(&c);
	t1_vtest_open(&vtest, &c, name);
	t1_map(&c, self->area, IOVA, TOTAL, T1_RW);
	t1_map(&c, bar, IOVA + 4 * TABLE, 3 * TABLE, T1_RW);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(VFIO_TEST_DONE, t1_job(&vtest, 0, VFIO_TEST_PIN,
						 IOVA + i * 2 * SIZE, T1_PAGE));
	avail = t1_dma_avail(&c);
	locked = t1_locked_kib();

	t1_for_each_failure(nth, more) {
		t1_fail_nth(nth);
		ret = ioctl(group, VFIO_GROUP_SET_CONTAINER, &c.fd);
		more = t1_failed();
		failures += !!ret;
		if (!ret) {
			EXPECT_TRUE(t1_translates(bdf, IOVA));
			EXPECT_TRUE(t1_translates(bdf, IOVA + SIZE));
			EXPECT_TRUE(t1_translates(bdf, IOVA + 6 * TABLE));
			ASSERT_EQ(0, ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
		}
		EXPECT_EQ(avail, t1_dma_avail(&c));
		EXPECT_EQ(locked, t1_locked_kib());
	}
	TH_LOG("%d allocations failed, %u calls", nth - 2, failures);
	EXPECT_EQ(0, ret);
	EXPECT_LT(5, failures);
	EXPECT_LT(nth, T1_MAX_NTH);

	/* What is off when the group comes is out of its reach until it is on. */
	t1_set_memory(&self->target.dev, false);
	ASSERT_EQ(0, ioctl(group, VFIO_GROUP_SET_CONTAINER, &c.fd));
	EXPECT_TRUE(t1_translates(bdf, IOVA));
	EXPECT_FALSE(t1_translates(bdf, IOVA + SIZE));
	EXPECT_FALSE(t1_translates(bdf, IOVA + 6 * TABLE));
	t1_set_memory(&self->target.dev, true);
	EXPECT_TRUE(t1_translates(bdf, IOVA + SIZE));
	EXPECT_TRUE(t1_translates(bdf, IOVA + 6 * TABLE));
	close(group);
	t1_unmap(&c, IOVA, TOTAL);
	t1_unmap(&c, IOVA + 4 * TABLE, 3 * TABLE);
	t1_vtest_close(&vtest);
	t1_container_close(&c);
	munmap(bar, 3 * TABLE);
}

/* Not of edu: it has an interrupt pin, and ACPI cannot cope with what fails there. */
TEST_F(fail, open)
{
	const char *bdf = t1_require(T1_IVSHMEM, 1);
	struct t1_container c;
	struct t1_device dev;
	int nth, fd, opened = 0;
	bool more;

	t1_container_open(&c);
	T1_ASSERT_OK(__t1_group_get(&c, t1_group_of(bdf), &dev.group));
	t1_for_each_failure(nth, more) {
		t1_fail_nth(nth);
		fd = ioctl(dev.group->fd, VFIO_GROUP_GET_DEVICE_FD, bdf);
		more = t1_failed();
		if (fd >= 0) {
			close(fd);
			opened++;
		}
	}
	TH_LOG("%d allocations failed, %d times opened all the same", nth - 2, opened - 1);
	EXPECT_LT(nth, T1_MAX_NTH);
	EXPECT_LT(0, opened);
	t1_group_put(dev.group);
	t1_container_close(&c);
}

/* The fault is repeated, and the page is there. Each has a page table to itself. */
TEST_F(fail, fault)
{
	bool more;
	__u32 value;
	char *bar;
	int nth;

	t1_for_each_failure(nth, more) {
		bar = t1_bar_mmap(&self->target.dev, 2, 0, 3 * TABLE);
		t1_fail_nth(nth);
		EXPECT_TRUE(touch_read(bar + TABLE, &value));
		more = t1_failed();
		munmap(bar, 3 * TABLE);
	}
	TH_LOG("%d allocations failed", nth - 2);
	EXPECT_LT(nth, T1_MAX_NTH);
	EXPECT_LT(2, nth);
}

TEST_HARNESS_MAIN
