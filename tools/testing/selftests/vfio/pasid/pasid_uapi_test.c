// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_IOMMU_PASID_REQUEST: what is asked, what is returned, every error.
 *
 * Does not work at all on a kernel without the series: the ioctl is unknown.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_log.h"
#include "../lib/type1_pasid.h"

#define PAGE		4096UL
#define LAST		((1U << 20) - 1)	/* highest PASID there is */
#define ALLOC		VFIO_IOMMU_PASID_REQUEST_ALLOC
#define FREE		VFIO_IOMMU_PASID_REQUEST_FREE

FIXTURE(pasid) {
	struct t1_container container;
	struct t1_group *group;
};

FIXTURE_SETUP(pasid)
{
	const char *bdf = t1_require(T1_IVSHMEM, 0);

	t1_container_open(&self->container);
	ASSERT_EQ(0, __t1_group_get(&self->container, t1_group_of(bdf), &self->group));
	ASSERT_EQ(0, t1_pasid_info(&self->container).used);
}

FIXTURE_TEARDOWN(pasid)
{
	__t1_pasid_free(&self->container, 1, LAST);
	EXPECT_EQ(0, t1_pasid_info(&self->container).used);
	t1_group_put(self->group);
	t1_container_close(&self->container);
}

static int call(struct t1_container *c, void *req)
{
	return ioctl(c->fd, VFIO_IOMMU_PASID_REQUEST, req) ? -errno : 0;
}

TEST_F(pasid, extension)
{
	struct t1_container bare;

	EXPECT_EQ(1, ioctl(self->container.fd, VFIO_CHECK_EXTENSION, VFIO_PASID_ALLOC));
	/* As all extensions, it can be asked for before there is a group. */
	t1_container_open(&bare);
	EXPECT_EQ(1, ioctl(bare.fd, VFIO_CHECK_EXTENSION, VFIO_PASID_ALLOC));
	t1_container_close(&bare);
}

TEST_F(pasid, layout)
{
	EXPECT_EQ(24, sizeof(struct vfio_iommu_type1_pasid_request));
	EXPECT_EQ(32, sizeof(struct vfio_iommu_type1_info_cap_pasid));
	EXPECT_EQ(0x3b7f, VFIO_IOMMU_PASID_REQUEST);
}

TEST_F(pasid, capability)
{
	struct vfio_iommu_type1_info_cap_pasid cap = t1_pasid_info(&self->container);

	EXPECT_EQ(0, cap.flags);
	EXPECT_EQ(0, cap.__reserved);
	EXPECT_EQ(LAST, cap.max_pasid);
	/* ivshmem does not know what a PASID is. */
	EXPECT_EQ(0, cap.hw_max_pasid);
	EXPECT_EQ(t1_pasids_per_group(), cap.quota);

	t1_pasid_alloc(&self->container, 1, LAST);
	cap = t1_pasid_info(&self->container);
	EXPECT_EQ(1, cap.used);
	EXPECT_EQ(t1_pasids_per_group(), cap.quota);
}

TEST_F(pasid, alloc_and_free)
{
	struct t1_container *c = &self->container;

	EXPECT_EQ(5, __t1_pasid_alloc(c, 5, 5));
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(c, 5, 5));
	EXPECT_EQ(LAST, __t1_pasid_alloc(c, LAST, LAST));
	EXPECT_EQ(1, __t1_pasid_alloc(c, 1, 1));
	EXPECT_EQ(3, t1_pasid_info(c).used);
	EXPECT_EQ(1, __t1_pasid_free(c, 5, 5));
	EXPECT_EQ(-ENOENT, __t1_pasid_free(c, 5, 5));
	EXPECT_EQ(-ENOENT, __t1_pasid_free(c, 2, LAST - 1));
	EXPECT_EQ(5, __t1_pasid_alloc(c, 5, 5));
	EXPECT_EQ(3, __t1_pasid_free(c, 1, LAST));
}

TEST_F(pasid, ranges)
{
	struct t1_container *c = &self->container;
	bool seen[10] = { };
	int i, pasid;

	for (i = 0; i < 10; i++) {
		pasid = t1_pasid_alloc(c, 100, 109);
		EXPECT_FALSE(seen[pasid - 100]);
		seen[pasid - 100] = true;
	}
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(c, 100, 109));
	EXPECT_EQ(10, t1_pasid_info(c).used);
	EXPECT_EQ(3, __t1_pasid_free(c, 90, 102));
	EXPECT_EQ(2, __t1_pasid_free(c, 108, 200));
	EXPECT_EQ(5, __t1_pasid_free(c, 1, LAST));
}

TEST_F(pasid, output)
{
	struct vfio_iommu_type1_pasid_request req = {
		.argsz = sizeof(req), .flags = ALLOC, .min = 7, .max = 7, .pasid = 99, .count = 99,
	};

	ASSERT_EQ(0, call(&self->container, &req));
	EXPECT_EQ(7, req.pasid);
	EXPECT_EQ(1, req.count);

	/* A failed call writes nothing. */
	req.pasid = 99;
	req.count = 99;
	ASSERT_EQ(-ENOSPC, call(&self->container, &req));
	EXPECT_EQ(99, req.pasid);
	EXPECT_EQ(99, req.count);

	req.flags = FREE;
	ASSERT_EQ(0, call(&self->container, &req));
	EXPECT_EQ(1, req.count);
}

TEST_F(pasid, argsz)
{
	struct {
		struct vfio_iommu_type1_pasid_request req;
		char more[64];
	} req = { .req = { .flags = ALLOC, .min = 1, .max = LAST } };
	__u32 argsz;

	for (argsz = 0; argsz < sizeof(req.req); argsz++) {
		req.req.argsz = argsz;
		EXPECT_EQ(-EINVAL, call(&self->container, &req));
	}
	EXPECT_EQ(0, t1_pasid_info(&self->container).used);

	/* Fields that come later are announced by flags, not by the size. */
	memset(req.more, 0xff, sizeof(req.more));
	req.req.argsz = sizeof(req);
	EXPECT_EQ(0, call(&self->container, &req));
	req.req.argsz = UINT_MAX;
	EXPECT_EQ(0, call(&self->container, &req));
}

TEST_F(pasid, flags)
{
	struct vfio_iommu_type1_pasid_request req = {
		.argsz = sizeof(req), .min = 1, .max = LAST,
	};
	int bit;

	EXPECT_EQ(-EINVAL, call(&self->container, &req));
	req.flags = ALLOC | FREE;
	EXPECT_EQ(-EINVAL, call(&self->container, &req));
	for (bit = 2; bit < 32; bit++) {
		req.flags = 1U << bit;
		EXPECT_EQ(-EINVAL, call(&self->container, &req));
		req.flags |= ALLOC;
		EXPECT_EQ(-EINVAL, call(&self->container, &req));
		req.flags ^= ALLOC | FREE;
		EXPECT_EQ(-EINVAL, call(&self->container, &req));
	}
	EXPECT_EQ(0, t1_pasid_info(&self->container).used);
}

TEST_F(pasid, bad_ranges)
{
	static const struct {
		__u32 min, max;
	} ranges[] = {
		{ 0, 0 }, { 0, 1 }, { 0, LAST }, { 2, 1 }, { LAST, 1 }, { 1, LAST + 1 },
		{ LAST + 1, LAST + 1 }, { 1, UINT_MAX }, { UINT_MAX, UINT_MAX }, { UINT_MAX, 1 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		__u32 min = ranges[i].min, max = ranges[i].max;

		EXPECT_EQ(-EINVAL, __t1_pasid_alloc(&self->container, min, max));
		EXPECT_EQ(-EINVAL, __t1_pasid_free(&self->container, min, max));
	}
}

/* Where the argument lies only partly, or where its result cannot be stored */
TEST_F(pasid, bad_addresses)
{
	char *area = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	struct vfio_iommu_type1_pasid_request req = {
		.argsz = sizeof(req), .flags = ALLOC, .min = 3, .max = 3,
	};

	ASSERT_NE(MAP_FAILED, area);
	EXPECT_EQ(-EFAULT, call(&self->container, NULL));
	EXPECT_EQ(-EFAULT, call(&self->container, (void *)-PAGE));

	ASSERT_EQ(0, munmap(area + PAGE, PAGE));
	memcpy(area + PAGE - 8, &req, 8);
	EXPECT_EQ(-EFAULT, call(&self->container, area + PAGE - 8));
	req.argsz = 8;
	memcpy(area + PAGE - 8, &req, 8);
	EXPECT_EQ(-EINVAL, call(&self->container, area + PAGE - 8));

	req.argsz = sizeof(req);
	memcpy(area, &req, sizeof(req));
	ASSERT_EQ(0, mprotect(area, PAGE, PROT_READ));
	EXPECT_EQ(0, t1_pasid_info(&self->container).used);
	EXPECT_EQ(-EFAULT, call(&self->container, area));

	/* Only what cannot be stored has been done nevertheless. */
	EXPECT_EQ(1, t1_pasid_info(&self->container).used);
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(&self->container, 3, 3));
	ASSERT_EQ(0, mprotect(area, PAGE, PROT_READ | PROT_WRITE));
	req.flags = FREE;
	memcpy(area, &req, sizeof(req));
	ASSERT_EQ(0, mprotect(area, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, call(&self->container, area));
	EXPECT_EQ(0, t1_pasid_info(&self->container).used);
	EXPECT_EQ(3, __t1_pasid_alloc(&self->container, 3, 3));
	munmap(area, PAGE);
}

/* What is wrong in several ways fails with the first of these errors. */
TEST_F(pasid, order_of_errors)
{
	struct vfio_iommu_type1_pasid_request req = {
		.argsz = sizeof(req) - 1, .flags = ALLOC | FREE, .min = 5, .max = 4,
	};
	struct t1_container *c = &self->container, bare;
	unsigned int quota = t1_pasids_per_group();

	t1_container_open(&bare);
	EXPECT_EQ(-ENODEV, call(&bare, NULL));
	t1_container_close(&bare);
	EXPECT_EQ(-EINVAL, call(c, &req));
	req.argsz++;
	EXPECT_EQ(-EINVAL, call(c, &req));
	req.flags = FREE;
	EXPECT_EQ(-EINVAL, call(c, &req));
	req.max = 5;
	EXPECT_EQ(-EPERM, call(c, &req));

	/* Once it is the caller's */
	ASSERT_EQ(5, __t1_pasid_alloc(c, 5, 5));
	ASSERT_EQ(quota - 1, t1_pasid_alloc_all(c, 1, LAST));
	T1_IN_CHILD(T1_ASSERT(__t1_pasid_alloc(c, 5, 5) == -EPERM));
	EXPECT_EQ(-EDQUOT, __t1_pasid_alloc(c, 5, 5));
	EXPECT_EQ(1, __t1_pasid_free(c, quota, quota));
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(c, 5, 5));
}

TEST_F(pasid, without_a_group)
{
	struct t1_container bare;

	t1_container_open(&bare);
	EXPECT_EQ(-ENODEV, __t1_pasid_alloc(&bare, 1, LAST));
	EXPECT_EQ(-ENODEV, __t1_pasid_free(&bare, 1, LAST));
	t1_container_close(&bare);
}

/* With its last group a container loses its PASIDs. */
TEST_F(pasid, detach)
{
	struct t1_container *c = &self->container;

	EXPECT_EQ(5, __t1_pasid_alloc(c, 5, 5));
	ASSERT_EQ(0, ioctl(self->group->fd, VFIO_GROUP_UNSET_CONTAINER));
	EXPECT_EQ(-ENODEV, __t1_pasid_alloc(c, 5, 5));
	ASSERT_EQ(0, ioctl(self->group->fd, VFIO_GROUP_SET_CONTAINER, &c->fd));
	ASSERT_EQ(0, ioctl(c->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(0, t1_pasid_info(c).used);
	EXPECT_EQ(-EPERM, __t1_pasid_free(c, 5, 5));
	EXPECT_EQ(5, __t1_pasid_alloc(c, 5, 5));
}

TEST_F(pasid, quota)
{
	struct t1_container *c = &self->container;
	unsigned int quota = t1_pasid_info(c).quota;

	ASSERT_EQ(quota, t1_pasid_alloc_all(c, 1, LAST));
	EXPECT_EQ(-EDQUOT, __t1_pasid_alloc(c, 1, LAST));
	EXPECT_EQ(quota, t1_pasid_info(c).used);
	EXPECT_EQ(1, __t1_pasid_free(c, 10, 10));
	EXPECT_LT(0, __t1_pasid_alloc(c, 1, LAST));
	EXPECT_EQ(-EDQUOT, __t1_pasid_alloc(c, 1, LAST));
	EXPECT_EQ(quota, __t1_pasid_free(c, 1, LAST));
}

/* Whatever is called however often, nothing appears in the log. */
TEST_F(pasid, silence)
{
	struct t1_container *c = &self->container;
	char *before;
	int i, size;

	t1_pasid_alloc(c, 5, 5);
	before = t1_kernel_log(&size);
	if (!before)
		SKIP(return, "cannot read the log: run as root or set kernel.dmesg_restrict=0");
	for (i = 0; i < 20000; i++) {
		ASSERT_EQ(-ENOSPC, __t1_pasid_alloc(c, 5, 5));
		ASSERT_EQ(-ENOENT, __t1_pasid_free(c, 6, 6));
		ASSERT_EQ(-EINVAL, __t1_pasid_alloc(c, 0, 5));
		ASSERT_EQ(-EINVAL, __t1_pasid_free(c, 6, 5));
		ASSERT_EQ(-EFAULT, call(c, NULL));
	}
	EXPECT_EQ(0, t1_check_log(before));
	free(before);
}

TEST_HARNESS_MAIN
