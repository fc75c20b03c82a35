// SPDX-License-Identifier: GPL-2.0-only
/*
 * A container has a device without an IOMMU, and so mappings that nothing limits and
 * nobody looked at, when the first group with an IOMMU comes.
 *
 * Fails on stock 6.1, which fills the log, or looks at each page of a mapping that
 * nothing limits: where an IOMMU has 57 bits, for days.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_bench.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_vtest.h"

#define IOVA	0x200000000ULL
#define HUGE	(1ULL << 38)	/* still inside */
#define OUTSIDE	(1ULL << 60)	/* of what most IOMMUs have */

FIXTURE(domain) {
	struct t1_container c;
	struct t1_vtest vtest;
	struct t1_group *group;
	void *ram;
	int edu;
	__u64 locked;
};

FIXTURE_SETUP(domain)
{
	const char *edu = t1_require(T1_EDU, 0), *name = t1_vtest_find(0);

	if (!name)
		T1_SKIP("%s", T1_VTEST_HINT);
	self->edu = t1_group_of(edu);
	self->ram = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->ram);
	t1_container_open(&self->c);
	t1_vtest_open(&self->vtest, &self->c, name);
	t1_map(&self->c, self->ram, IOVA - T1_PAGE, T1_PAGE, T1_RW);
	self->locked = t1_locked_kib();
}

/* What stopped the group is gone, and nothing of the attempt has remained. */
FIXTURE_TEARDOWN(domain)
{
	EXPECT_EQ(self->locked, t1_locked_kib());
	ASSERT_EQ(0, __t1_group_get(&self->c, self->edu, &self->group));
	EXPECT_EQ(self->locked + T1_PAGE / 1024, t1_locked_kib());
	t1_group_put(self->group);
	EXPECT_EQ(self->locked, t1_locked_kib());
	t1_unmap(&self->c, IOVA - T1_PAGE, T1_PAGE);
	t1_vtest_close(&self->vtest);
	t1_container_close(&self->c);
	munmap(self->ram, T1_PAGE);
}

/* What there is to undo is nothing. */
TEST_F(domain, huge)
{
	__u64 begin = t1_now();

	t1_map(&self->c, NULL, IOVA, HUGE, T1_RW);
	EXPECT_EQ(-EFAULT, __t1_group_get(&self->c, self->edu, &self->group));
	EXPECT_GT(begin + 20000000000ULL, t1_now());
	t1_unmap(&self->c, IOVA, HUGE);
}

/* AMD's IOMMU translates all IOVAs. */
static bool has_outside(struct t1_container *c, int id, void *ram)
{
	struct t1_group *group;
	int ret;

	T1_ASSERT_OK(__t1_group_get(c, id, &group));
	ret = __t1_map(c, ram, OUTSIDE, T1_PAGE, T1_RW);
	if (!ret)
		t1_unmap(c, OUTSIDE, T1_PAGE);
	t1_group_put(group);
	return ret;
}

TEST_F(domain, outside)
{
	if (!has_outside(&self->c, self->edu, self->ram))
		SKIP(return, "the IOMMU translates all IOVAs");
	t1_map(&self->c, self->ram, OUTSIDE, T1_PAGE, T1_RW);
	EXPECT_EQ(-EINVAL, __t1_group_get(&self->c, self->edu, &self->group));
	t1_unmap(&self->c, OUTSIDE, T1_PAGE);
}

/* A group that has gone again leaves no limits behind. */
TEST_F(domain, outside_after_a_group)
{
	if (!has_outside(&self->c, self->edu, self->ram))
		SKIP(return, "the IOMMU translates all IOVAs");
	ASSERT_EQ(0, __t1_group_get(&self->c, self->edu, &self->group));
	EXPECT_EQ(-EINVAL, __t1_map(&self->c, self->ram, OUTSIDE, T1_PAGE, T1_RW));
	t1_group_put(self->group);
	t1_map(&self->c, self->ram, OUTSIDE, T1_PAGE, T1_RW);
	EXPECT_EQ(-EINVAL, __t1_group_get(&self->c, self->edu, &self->group));
	t1_unmap(&self->c, OUTSIDE, T1_PAGE);
}

/* Of three mappings, the last one cannot be pinned: the others are as before. */
TEST_F(domain, undo)
{
	t1_map(&self->c, self->ram, IOVA, T1_PAGE, T1_RW);
	t1_map(&self->c, NULL, IOVA + T1_PAGE, T1_PAGE, T1_RW);
	EXPECT_EQ(-EFAULT, __t1_group_get(&self->c, self->edu, &self->group));
	EXPECT_EQ(self->locked, t1_locked_kib());
	t1_unmap(&self->c, IOVA, 2 * T1_PAGE);
}

static void pin_page(struct t1_container *c, struct t1_vtest *vtest)
{
	T1_ASSERT(t1_job(vtest, 0, VFIO_TEST_PIN, IOVA, T1_PAGE) == VFIO_TEST_DONE);
}

/* A page that is pinned already counts for that, as before. */
TEST_F(domain, undo_pinned)
{
	t1_map(&self->c, self->ram, IOVA, T1_PAGE, T1_RW);
	pin_page(&self->c, &self->vtest);
	t1_map(&self->c, NULL, IOVA + T1_PAGE, T1_PAGE, T1_RW);
	EXPECT_EQ(self->locked + T1_PAGE / 1024, t1_locked_kib());
	EXPECT_EQ(-EFAULT, __t1_group_get(&self->c, self->edu, &self->group));
	EXPECT_EQ(self->locked + T1_PAGE / 1024, t1_locked_kib());
	EXPECT_EQ(VFIO_TEST_DONE,
		  t1_job(&self->vtest, 0, VFIO_TEST_UNPIN, IOVA, T1_PAGE));
	EXPECT_EQ(self->locked, t1_locked_kib());
	t1_unmap(&self->c, IOVA, 2 * T1_PAGE);
}

/*
 * A page that the device without an IOMMU has pinned is counted. Its user may put another
 * in its place before the group comes, which counts, too, or device memory, which does
 * not. If it is the same page, it counts once. Nothing is counted in the end.
 */
enum { THE_SAME, DEVICE_MEMORY, OTHER_RAM };

FIXTURE(pinned) {
	struct t1_container c;
	struct t1_vtest vtest;
	struct t1_target target;
	struct t1_group *group;
	void *page;
};

FIXTURE_VARIANT(pinned) {
	int put;	/* what the group finds there */
	__u64 pages;	/* that it has counted */
};

FIXTURE_VARIANT_ADD(pinned, the_same) { .put = THE_SAME, .pages = 1 };
FIXTURE_VARIANT_ADD(pinned, device_memory) { .put = DEVICE_MEMORY, .pages = 0 };
FIXTURE_VARIANT_ADD(pinned, other_ram) { .put = OTHER_RAM, .pages = 1 };

FIXTURE_SETUP(pinned)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf = t1_require(T1_IVSHMEM, 0);
	const char *name = t1_vtest_find(0);

	if (!name)
		T1_SKIP("%s", T1_VTEST_HINT);
	t1_target_open(&self->target, bdf, 2, 0);
	self->page = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	t1_container_open(&self->c);
	t1_vtest_open(&self->vtest, &self->c, name);
	t1_map(&self->c, self->page, IOVA, T1_PAGE, T1_RW);
	pin_page(&self->c, &self->vtest);
	if (variant->put == DEVICE_MEMORY)
		ASSERT_EQ(self->page,
			  mmap(self->page, T1_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			       self->target.dev.fd, t1_bar_offset(&self->target.dev, 2, 0)));
	if (variant->put == OTHER_RAM)
		ASSERT_EQ(self->page,
			  mmap(self->page, T1_PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, -1, 0));
	ASSERT_EQ(T1_PAGE / 1024, t1_locked_kib());
	ASSERT_EQ(0, __t1_group_get(&self->c, t1_group_of(edu), &self->group));
	ASSERT_EQ(T1_PAGE / 1024 * (variant->put == OTHER_RAM ? 2 : 1), t1_locked_kib());
}

FIXTURE_TEARDOWN(pinned)
{
	EXPECT_EQ(0, t1_locked_kib());
	t1_vtest_close(&self->vtest);
	t1_container_close(&self->c);
	munmap(self->page, T1_PAGE);
	t1_target_close(&self->target);
}

TEST_F(pinned, group_goes_first)
{
	t1_group_put(self->group);
	EXPECT_EQ(T1_PAGE / 1024, t1_locked_kib());
	EXPECT_EQ(VFIO_TEST_DONE,
		  t1_job(&self->vtest, 0, VFIO_TEST_UNPIN, IOVA, T1_PAGE));
	EXPECT_EQ(0, t1_locked_kib());
	t1_unmap(&self->c, IOVA, T1_PAGE);
}

TEST_F(pinned, pin_goes_first)
{
	EXPECT_EQ(VFIO_TEST_DONE,
		  t1_job(&self->vtest, 0, VFIO_TEST_UNPIN, IOVA, T1_PAGE));
	EXPECT_EQ(variant->pages * T1_PAGE / 1024, t1_locked_kib());
	t1_unmap(&self->c, IOVA, T1_PAGE);
	EXPECT_EQ(0, t1_locked_kib());
	t1_group_put(self->group);
}

TEST_HARNESS_MAIN
