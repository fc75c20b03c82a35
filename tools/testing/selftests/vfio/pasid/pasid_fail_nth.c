// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the paths of PASIDs fails once, alone or with all that come
 * after it. Whatever happens, the call is done, or fails with ENOMEM and has changed
 * nothing.
 *
 * Needs root and CONFIG_FAULT_INJECTION, CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_fail.h"
#include "../lib/type1_fd.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_vtest.h"

#define LAST	((1U << 20) - 1)

FIXTURE(fail) {
	struct t1_container c;
	struct t1_group *group;
	unsigned int quota;
};

FIXTURE_VARIANT(fail) {
	void (*fail)(unsigned int nth);
};

/* Much is tried once more, with a better right to memory. */
FIXTURE_VARIANT_ADD(fail, one) { .fail = t1_fail_nth };
FIXTURE_VARIANT_ADD(fail, rest) { .fail = t1_fail_from };

FIXTURE_SETUP(fail)
{
	const char *bdf = t1_require(T1_IVSHMEM, 0);

	if (__t1_fail_setup())
		T1_SKIP("%s", T1_FAIL_HINT);
	t1_container_open(&self->c);
	ASSERT_EQ(0, __t1_group_get(&self->c, t1_group_of(bdf), &self->group));
	self->quota = t1_pasid_info(&self->c).quota;
}

FIXTURE_TEARDOWN(fail)
{
	t1_group_put(self->group);
	t1_container_close(&self->c);
}

/* The first one of a container, which makes it the caller's, or when it fails nobody's */
TEST_F(fail, first_alloc)
{
	int nth, ret;
	bool more;

	t1_for_each_failure(nth, more) {
		variant->fail(nth);
		ret = __t1_pasid_alloc(&self->c, 5, 5);
		more = t1_failed();
		if (ret < 0) {
			EXPECT_EQ(-ENOMEM, ret);
			EXPECT_EQ(0, t1_pasid_info(&self->c).used);
			EXPECT_EQ(-EPERM, __t1_pasid_free(&self->c, 1, LAST));
			continue;
		}
		ASSERT_EQ(5, ret);
		ASSERT_EQ(0, ioctl(self->group->fd, VFIO_GROUP_UNSET_CONTAINER));
		ASSERT_EQ(0, ioctl(self->group->fd, VFIO_GROUP_SET_CONTAINER, &self->c.fd));
		ASSERT_EQ(0, ioctl(self->c.fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	}
	TH_LOG("%d allocations failed", nth - 2);
	EXPECT_LT(4, nth);
	EXPECT_LT(nth, T1_MAX_NTH);
}

/* All others: far apart, so that each needs a node in trees of numbers */
TEST_F(fail, alloc_and_free)
{
	int nth, ret, count = 0;
	bool more;

	t1_pasid_alloc(&self->c, 5, 5);
	t1_for_each_failure(nth, more) {
		variant->fail(nth);
		ret = __t1_pasid_alloc(&self->c, nth * 4096, nth * 4096);
		more = t1_failed();
		EXPECT_TRUE(ret == -ENOMEM || ret > 0);
		count += ret > 0;
		EXPECT_EQ(1 + count, t1_pasid_info(&self->c).used);
	}
	TH_LOG("%d allocations failed", nth - 2);
	EXPECT_LT(2, nth);
	EXPECT_LT(nth, T1_MAX_NTH);

	t1_for_each_failure(nth, more) {
		variant->fail(nth);
		ret = __t1_pasid_free(&self->c, 1, LAST);
		more = t1_failed();
		EXPECT_EQ(1 + count, ret);	/* takes no memory, cannot fail */
		count = 0;
		t1_pasid_alloc(&self->c, 5, 5);
	}
	EXPECT_EQ(2, nth);
}

/* The first request after an exec is no exception: the owner is what it was before. */
static int after_exec(int fd, void (*fail)(unsigned int nth))
{
	struct t1_container c = { .fd = fd };
	int nth, ret, failures = 0;
	bool more;

	/* The process that waits for this one reads the trace, which has one reader. */
	unsetenv("T1_FAIL_TRACE");
	T1_ASSERT_OK(__t1_fail_setup());
	t1_for_each_failure(nth, more) {
		fail(nth);
		ret = __t1_pasid_free(&c, 9, 9);
		more = t1_failed();
		T1_ASSERT(ret == -ENOENT || (ret == -ENOMEM && more));
		failures += ret == -ENOMEM;
		T1_ASSERT(t1_pasid_info(&c).used == 1);
	}
	T1_ASSERT(failures && nth < T1_MAX_NTH);
	T1_ASSERT(__t1_pasid_free(&c, 5, 5) == 1);
	return 0;
}

TEST_F(fail, exec)
{
	const char *how = variant->fail == t1_fail_nth ? "--one" : "--rest";

	T1_IN_CHILD(t1_pasid_alloc(&self->c, 5, 5);
		    t1_exec_self(how, &self->c.fd, 1));
}

TEST_F(fail, info)
{
	char buf[4096];
	struct vfio_iommu_type1_info *info = (void *)buf;
	int nth, ret;
	bool more;

	t1_for_each_failure(nth, more) {
		info->argsz = sizeof(buf);
		variant->fail(nth);
		ret = ioctl(self->c.fd, VFIO_IOMMU_GET_INFO, info);
		more = t1_failed();
		EXPECT_TRUE(!ret || errno == ENOMEM);
	}
	EXPECT_EQ(0, ret);
	EXPECT_EQ(self->quota, t1_pasid_info(&self->c).quota);
}

/* A PASID is attached */
TEST_F(fail, attach)
{
	const char *name = t1_vtest_find(0);
	int nth, ret = -1, failures = 0;
	struct t1_vtest dev;
	bool more;

	if (!name)
		SKIP(return, T1_VTEST_HINT);
	t1_vtest_open(&dev, &self->c, name);
	t1_pasid_alloc(&self->c, 5, 5);
	t1_for_each_failure(nth, more) {
		variant->fail(nth);
		ret = __t1_pasid_attach(&dev, 5, -1);
		more = t1_failed();
		failures += !!ret;
		if (ret) {
			EXPECT_EQ(-ENOMEM, ret);
			EXPECT_EQ(0, t1_pasid_next(&dev, 0));
		} else {
			EXPECT_EQ(0, __t1_pasid_detach(&dev, 5));
		}
	}
	EXPECT_EQ(0, ret);
	TH_LOG("%d allocations failed, %d calls", nth - 2, failures);
	EXPECT_LT(0, failures);	/* a node of the XArray is tried for twice */

	/* Nothing that ends it takes memory. */
	t1_pasid_attach(&dev, 5, -1);
	t1_fail_nth(1);
	EXPECT_EQ(0, __t1_pasid_detach(&dev, 5));
	EXPECT_FALSE(t1_failed());
	t1_vtest_close(&dev);
}

/* The errors of a space and of its file; nothing of the quota of spaces is lost. */
TEST_F(fail, space_create)
{
	struct t1_container space;
	int nth, ret = -1, failures = 0;
	bool more;

	t1_for_each_failure(nth, more) {
		variant->fail(nth);
		ret = __t1_space_create(&self->c, &space);
		more = t1_failed();
		failures += !!ret;
		EXPECT_TRUE(!ret || ret == -ENOMEM || ret == -ENFILE);
		EXPECT_EQ(!ret, t1_told(&self->c, "vfio-spaces"));
		if (!ret)
			close(space.fd);
	}
	EXPECT_EQ(0, ret);
	TH_LOG("%d allocations failed, %d calls", nth - 2, failures);
	EXPECT_LE(3, failures);
	EXPECT_EQ(0, t1_told(&self->c, "vfio-spaces"));
}

/* To open it takes a thread. */
TEST_F(fail, open)
{
	const char *name = t1_vtest_find(0);
	int nth, fd = -1, failures = 0;
	struct t1_vtest dev;
	bool more;

	if (!name)
		SKIP(return, T1_VTEST_HINT);
	t1_vtest_open(&dev, &self->c, name);
	t1_for_each_failure(nth, more) {
		close(dev.fd);
		variant->fail(nth);
		fd = ioctl(dev.group->fd, VFIO_GROUP_GET_DEVICE_FD, name);
		more = t1_failed();
		dev.fd = fd;
		failures += fd < 0;
	}
	EXPECT_LE(0, fd);
	TH_LOG("%d allocations failed, %d calls", nth - 2, failures);
	EXPECT_LT(0, failures);
	EXPECT_LT(nth, T1_MAX_NTH);
	t1_vtest_close(&dev);
}

/* VFIO_SET_IOMMU; always one alone, as the IOMMU core's way back needs memory, too */
TEST_F(fail, set_iommu)
{
	int nth, ret, failures = 0;
	bool more;

	t1_for_each_failure(nth, more) {
		ASSERT_EQ(0, ioctl(self->group->fd, VFIO_GROUP_UNSET_CONTAINER));
		ASSERT_EQ(0, ioctl(self->group->fd, VFIO_GROUP_SET_CONTAINER, &self->c.fd));
		t1_fail_nth(nth);
		ret = ioctl(self->c.fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
		more = t1_failed();
		failures += !!ret;
		ASSERT_EQ(ret ? -ENODEV : 5, __t1_pasid_alloc(&self->c, 5, 5));
	}
	TH_LOG("%d allocations failed, %d calls", nth - 2, failures);
	EXPECT_LT(0, failures);
	EXPECT_LT(nth, T1_MAX_NTH);
}

__attribute__((constructor)) static void check_for_exec(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--one"))
		_exit(after_exec(atoi(argv[2]), t1_fail_nth));
	if (argc == 3 && !strcmp(argv[1], "--rest"))
		_exit(after_exec(atoi(argv[2]), t1_fail_from));
}

TEST_HARNESS_MAIN
