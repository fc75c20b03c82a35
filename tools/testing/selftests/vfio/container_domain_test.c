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

#include "../kselftest_harness.h"

#include "lib/type1.h"

#define IOVA	0x200000000ULL
#define HUGE	(1ULL << 38)	/* still inside */
#define OUTSIDE	(1ULL << 60)	/* of what an IOMMU has */

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
	EXPECT_GT(begin + 5000000000ULL, t1_now());
	t1_unmap(&self->c, IOVA, HUGE);
}

TEST_F(domain, outside)
{
	t1_map(&self->c, self->ram, OUTSIDE, T1_PAGE, T1_RW);
	EXPECT_EQ(-EINVAL, __t1_group_get(&self->c, self->edu, &self->group));
	t1_unmap(&self->c, OUTSIDE, T1_PAGE);
}

/* A group that has gone again leaves no limits behind. */
TEST_F(domain, outside_after_a_group)
{
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

TEST_HARNESS_MAIN
