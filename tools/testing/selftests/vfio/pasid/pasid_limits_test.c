// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many PASIDs there are for whom: quota by groups, the module's parameter,
 * the cgroup's limit. Most of it takes root, to change these.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_bench.h"
#include "../lib/type1_fd.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pasid.h"

#define LAST		((1U << 20) - 1)
#define PARAMETER	"/sys/module/vfio_iommu_type1/parameters/pasids_per_group"
#define PER_GROUP	10
#define NOT_ROOT	"the parameter cannot be set: run as root"

/* Two groups, of which the first is in the container */
FIXTURE(limits) {
	struct t1_container container;
	struct t1_group *group;
	int second_id;
	unsigned int per_group;
};

FIXTURE_SETUP(limits)
{
	int id = t1_group_of(t1_require(T1_IVSHMEM, 0));

	self->second_id = t1_group_of(t1_require(T1_IVSHMEM, 1));
	self->per_group = t1_pasids_per_group();
	if (__t1_pasids_per_group_set(PER_GROUP))
		T1_SKIP("%s", NOT_ROOT);
	t1_container_open(&self->container);
	ASSERT_EQ(0, __t1_group_get(&self->container, id, &self->group));
}

FIXTURE_TEARDOWN(limits)
{
	t1_group_put(self->group);
	t1_container_close(&self->container);
	EXPECT_EQ(0, __t1_pasids_per_group_set(self->per_group));
}

static struct t1_group *get_group(struct t1_container *c, int id)
{
	struct t1_group *group;

	T1_ASSERT_OK(__t1_group_get(c, id, &group));
	return group;
}

TEST_F(limits, parameter)
{
	struct t1_container *c = &self->container;
	int first = t1_pasid_alloc(c, 1, LAST);

	ASSERT_EQ(PER_GROUP - 1, t1_pasid_alloc_all(c, 1, LAST));

	/* Lowered, it takes nothing away and gives nothing any more. */
	ASSERT_EQ(0, __t1_pasids_per_group_set(5));
	EXPECT_EQ(PER_GROUP, t1_pasid_info(c).used);
	EXPECT_EQ(5, t1_pasid_info(c).quota);
	EXPECT_EQ(-EDQUOT, __t1_pasid_alloc(c, 1, LAST));
	EXPECT_EQ(6, __t1_pasid_free(c, first, first + 5));
	EXPECT_LT(0, __t1_pasid_alloc(c, 1, LAST));
	EXPECT_EQ(-EDQUOT, __t1_pasid_alloc(c, 1, LAST));

	ASSERT_EQ(0, __t1_pasids_per_group_set(0));
	EXPECT_EQ(-EDQUOT, __t1_pasid_alloc(c, 1, LAST));
	ASSERT_EQ(0, __t1_pasids_per_group_set(7));
	EXPECT_EQ(2, t1_pasid_alloc_all(c, 1, LAST));

	EXPECT_EQ(-EINVAL, __t1_write_file(PARAMETER, "many"));
	EXPECT_EQ(7, t1_pasid_info(c).quota);

	/* More than there are is as good as all of them. */
	ASSERT_EQ(0, __t1_pasids_per_group_set(UINT_MAX));
	EXPECT_EQ(LAST, t1_pasid_info(c).quota);
}

/* A call that fails takes nothing away, nor does the detach of what it did not claim. */
TEST_F(limits, failure_frees_nothing)
{
	struct t1_container other;
	struct t1_group *second;

	ASSERT_EQ(PER_GROUP, t1_pasid_alloc_all(&self->container, 1, LAST));
	ASSERT_EQ(0, __t1_pasids_per_group_set(1));
	t1_container_open(&other);
	second = get_group(&other, self->second_id);
	EXPECT_EQ(-EDQUOT, __t1_pasid_alloc(&other, 1, LAST));
	EXPECT_EQ(PER_GROUP, t1_pasid_info(&self->container).used);
	t1_group_put(second);
	t1_container_close(&other);
	EXPECT_EQ(PER_GROUP, t1_pasid_info(&self->container).used);
}

/*
 * A call whose result cannot be stored has made the container the caller's, with the
 * share of its groups, until they go.
 */
TEST_F(limits, result_not_stored)
{
	struct vfio_iommu_type1_pasid_request *req;
	struct t1_container other;
	struct t1_group *second;

	req = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, req);
	*req = (struct vfio_iommu_type1_pasid_request){
		.argsz = sizeof(*req), .flags = VFIO_IOMMU_PASID_REQUEST_ALLOC,
		.min = 1, .max = LAST };
	ASSERT_EQ(0, mprotect(req, 4096, PROT_READ));

	t1_container_open(&other);
	second = get_group(&other, self->second_id);
	ASSERT_EQ(PER_GROUP, t1_pasid_alloc_all(&self->container, 1, LAST));
	EXPECT_EQ(-1, ioctl(other.fd, VFIO_IOMMU_PASID_REQUEST, req));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(1, t1_told(&other, "vfio-pasids"));
	EXPECT_EQ(PER_GROUP - 1, t1_pasid_alloc_all(&self->container, 1, LAST));

	/* What is beyond the share of the group that is left, the newest first */
	t1_group_put(second);
	t1_container_close(&other);
	EXPECT_EQ(PER_GROUP, t1_pasid_info(&self->container).used);
	munmap(req, 4096);
}

TEST_F(limits, detach_frees_the_newest)
{
	struct t1_container *c = &self->container;
	struct t1_group *second = get_group(c, self->second_id);
	int i;

	EXPECT_EQ(2 * PER_GROUP, t1_pasid_info(c).quota);
	for (i = 0; i < 15; i++)
		t1_pasid_alloc(c, 50 - i, 50 - i);
	t1_group_put(second);
	EXPECT_EQ(PER_GROUP, t1_pasid_info(c).quota);
	EXPECT_EQ(PER_GROUP, t1_pasid_info(c).used);
	EXPECT_EQ(-ENOENT, __t1_pasid_free(c, 1, 40));
	EXPECT_EQ(10, __t1_pasid_free(c, 41, 50));
}

/* The same when the newest are in a container that did not lose anything */
TEST_F(limits, detach_elsewhere)
{
	struct t1_container *c = &self->container, other;
	struct t1_group *second;
	int i;

	t1_container_open(&other);
	second = get_group(&other, self->second_id);
	t1_pasid_alloc(c, 1, 1);
	t1_pasid_alloc(&other, 100, 100);
	for (i = 2; i <= 15; i++)
		t1_pasid_alloc(c, i, i);
	t1_group_put(second);
	EXPECT_EQ(PER_GROUP, t1_pasid_info(c).used);
	EXPECT_EQ(PER_GROUP, __t1_pasid_free(c, 1, PER_GROUP));
	t1_container_close(&other);
}

/* A group that goes from process to process brings no more than its share. */
TEST_F(limits, moving_groups)
{
	struct t1_container *c = &self->container, other;
	struct t1_group *second = get_group(c, self->second_id);
	int i, status;

	for (i = 0; i < 3; i++) {
		ASSERT_LE(PER_GROUP, t1_pasid_alloc_all(c, 1, LAST));
		t1_group_put(second);
		if (!fork()) {
			t1_container_open(&other);
			get_group(&other, self->second_id);
			T1_ASSERT(t1_pasid_alloc_all(&other, 1, LAST) == PER_GROUP);
			T1_ASSERT(t1_pasid_info(&other).used == PER_GROUP);
			_exit(0);
		}
		wait(&status);
		EXPECT_EQ(0, status);
		EXPECT_EQ(PER_GROUP, t1_pasid_info(c).used);
		second = get_group(c, self->second_id);
	}
	t1_group_put(second);
}

/* All the PASIDs that there are, and the end of it without a stall */
TEST_F(limits, full_space)
{
	struct t1_container *c = &self->container;
	__u64 begin = t1_now();

	ASSERT_EQ(0, __t1_pasids_per_group_set(1000));
	ASSERT_EQ(1000, t1_pasid_alloc_all(c, 1, LAST));
	if ((t1_now() - begin) * (LAST / 1000) > 20 * 1000000000ULL)
		SKIP(return, "takes a minute on this kernel: build it with FLAVOUR=bench");

	ASSERT_EQ(0, __t1_pasids_per_group_set(UINT_MAX));
	ASSERT_EQ(LAST - 1000, t1_pasid_alloc_all(c, 1, LAST));
	/* Nobody's quota is more than there are */
	EXPECT_EQ(-EDQUOT, __t1_pasid_alloc(c, 1, LAST));
	EXPECT_EQ(LAST, t1_pasid_info(c).used);
	EXPECT_EQ(1, __t1_pasid_free(c, LAST / 2, LAST / 2));
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(c, 1, LAST / 2 - 1));
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(c, LAST / 2 + 1, LAST));
	EXPECT_EQ(LAST / 2, __t1_pasid_alloc(c, 1, LAST));
	EXPECT_EQ(LAST / 4, __t1_pasid_free(c, 1, LAST / 4));
}

/* cgroups */

#define CGROUP		"/sys/fs/cgroup/vfio_test"

/* The number behind @key in a file of lines "key number" */
static long read_key(const char *path, const char *key)
{
	long value = -1, number;
	char word[64];
	FILE *file = fopen(path, "r");

	T1_ASSERT(file);
	while (fscanf(file, "%63s %ld", word, &number) == 2) {
		if (!strcmp(word, key))
			value = number;
	}
	fclose(file);
	return value;
}

static void join(const char *cgroup)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	t1_write_file(path, "0");
}

TEST_F(limits, cgroup)
{
	struct t1_container *c = &self->container;
	long capacity;
	int status;

	if (__t1_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+misc"))
		SKIP(return, "no misc controller: CONFIG_CGROUP_MISC=y, mount cgroup2");
	/* A module can be built for a kernel whose misc controller does not know PASIDs */
	capacity = read_key("/sys/fs/cgroup/misc.capacity", "pasid");
	if (capacity == -1)
		SKIP(return, "no PASIDs in the misc controller: needs a patched kernel image");
	EXPECT_EQ(1 << 20, capacity);
	ASSERT_EQ(0, mkdir(CGROUP "1", 0755));
	ASSERT_EQ(0, mkdir(CGROUP "2", 0755));
	ASSERT_EQ(0, __t1_write_file(CGROUP "1/misc.max", "pasid 3"));

	if (!fork()) {
		join(CGROUP "1");
		T1_ASSERT(t1_pasid_alloc_all(c, 1, LAST) == 3);
		T1_ASSERT(read_key(CGROUP "1/misc.current", "pasid") == 3);
		T1_ASSERT(read_key(CGROUP "1/misc.events", "pasid.max") == 1);

		/* What is allocated stays charged to where it was. */
		join(CGROUP "2");
		t1_pasid_alloc(c, 1, LAST);
		T1_ASSERT(read_key(CGROUP "1/misc.current", "pasid") == 3);
		T1_ASSERT(read_key(CGROUP "2/misc.current", "pasid") == 1);
		T1_ASSERT(__t1_pasid_free(c, 1, LAST) == 4);
		T1_ASSERT(read_key(CGROUP "1/misc.current", "pasid") == 0);
		T1_ASSERT(read_key(CGROUP "2/misc.current", "pasid") == 0);
		t1_pasid_alloc(c, 1, LAST);
		_exit(0);
	}
	wait(&status);
	EXPECT_EQ(0, status);

	/* It comes back with the PASID when the process is gone. */
	EXPECT_EQ(0, t1_pasids_left(c));
	EXPECT_EQ(0, read_key(CGROUP "2/misc.current", "pasid"));
	EXPECT_EQ(0, rmdir(CGROUP "1"));
	EXPECT_EQ(0, rmdir(CGROUP "2"));
}

TEST_HARNESS_MAIN
