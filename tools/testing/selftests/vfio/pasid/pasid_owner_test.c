// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whose PASIDs are: who asked for them first, and nobody else's, by whatever file;
 * what a container loses with a group; files closed in every order.
 * pasid_exec_test.c, pasid_family_test.c, pasid_survivor_test.c, pasid_death_test.c and
 * pasid_kill_test.c go on from here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_fd.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_vtest.h"

#define LAST	((1U << 20) - 1)

FIXTURE(owner) {
	struct t1_container container;
	struct t1_group *group;
	int group_id;
};

FIXTURE_SETUP(owner)
{
	self->group_id = t1_group_of(t1_require(T1_IVSHMEM, 0));
	t1_container_open(&self->container);
	ASSERT_EQ(0, __t1_group_get(&self->container, self->group_id, &self->group));
}

/* Nothing is lost: all numbers that tests use are there again. */
FIXTURE_TEARDOWN(owner)
{
	struct t1_container c;
	struct t1_group *group;
	int i;

	t1_group_put(self->group);
	t1_container_close(&self->container);

	t1_container_open(&c);
	T1_ASSERT_OK(__t1_group_get(&c, self->group_id, &group));
	for (i = 1; i <= 100; i++)
		EXPECT_EQ(i, __t1_pasid_alloc(&c, i, i));
	t1_group_put(group);
	t1_container_close(&c);
}

TEST_F(owner, fork)
{
	struct t1_container *c = &self->container;

	t1_pasid_alloc(c, 5, 5);
	T1_IN_CHILD(T1_ASSERT(__t1_pasid_alloc(c, 1, LAST) == -EPERM);
		    T1_ASSERT(__t1_pasid_free(c, 5, 5) == -EPERM);
		    T1_ASSERT(__t1_pasid_free(c, 1, LAST) == -EPERM));
	EXPECT_EQ(1, __t1_pasid_free(c, 1, LAST));

	/* Also when it has none any more. */
	T1_IN_CHILD(T1_ASSERT(__t1_pasid_alloc(c, 1, LAST) == -EPERM));
}

/* Only an ALLOC makes a container somebody's: a FREE has nothing to give back. */
TEST_F(owner, free_claims_nothing)
{
	struct t1_container *c = &self->container;

	EXPECT_EQ(-EPERM, __t1_pasid_free(c, 5, 5));
	EXPECT_EQ(-EPERM, __t1_pasid_free(c, 1, LAST));
	T1_IN_CHILD(T1_ASSERT(__t1_pasid_alloc(c, 5, 5) == 5));
}

/* Nor does a call that is not valid, or asks what there is. */
TEST_F(owner, nothing_else_claims)
{
	struct t1_container *c = &self->container;

	EXPECT_EQ(-EINVAL, __t1_pasid_alloc(c, 0, 5));
	EXPECT_EQ(-EINVAL, __t1_pasid_alloc(c, 6, 5));
	EXPECT_EQ(0, t1_pasid_info(c).used);
	EXPECT_EQ(0, t1_told(c, "vfio-pasids"));
	EXPECT_EQ(0, t1_told(c, "vfio-pasids-process"));
	T1_IN_CHILD(T1_ASSERT(__t1_pasid_alloc(c, 5, 5) == 5));
}

/* Nor does an ALLOC that fails, which leaves the quota as it was, too. */
TEST_F(owner, failed_alloc_claims_nothing)
{
	struct t1_container *c = &self->container, other;
	struct t1_group *group;
	__u32 quota;

	t1_container_open(&other);
	ASSERT_EQ(0, __t1_group_get(&other, t1_group_of(t1_require(T1_IVSHMEM, 1)), &group));
	EXPECT_EQ(5, __t1_pasid_alloc(&other, 5, 5));
	quota = t1_pasid_info(&other).quota;

	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(c, 5, 5));
	EXPECT_EQ(0, t1_told(c, "vfio-pasids-process"));
	EXPECT_EQ(quota, t1_pasid_info(&other).quota);
	EXPECT_EQ(-EPERM, __t1_pasid_free(c, 5, 5));
	T1_IN_CHILD(T1_ASSERT(__t1_pasid_alloc(c, 5, 5) == -ENOSPC);
		    T1_ASSERT(__t1_pasid_alloc(c, 6, 6) == 6));

	t1_group_put(group);
	t1_container_close(&other);
}

/* Nothing but a device's file: what the device uses has to be the caller's. */
static void use_it(int sock)
{
	struct t1_vtest dev;

	T1_ASSERT(dup2(sock, 3) == 3 && !close_range(4, UINT_MAX, 0));
	dev.fd = t1_receive_fd(3);
	T1_ASSERT(__t1_pasid_attach(&dev, 5, -1) == -EPERM);
	T1_ASSERT(__t1_pasid_attach(&dev, LAST, -1) == -EPERM);
	_exit(0);
}

TEST_F(owner, use_claims_nothing)
{
	const char *name = t1_vtest_find(0);
	struct t1_container *c = &self->container;
	int socks[2], status, i;
	struct t1_vtest dev;
	pid_t pid;

	if (!name)
		SKIP(return, "%s", T1_VTEST_HINT);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	t1_vtest_open(&dev, c, name);
	/* While the container is nobody's, and when it is this process' */
	for (i = 0; i < 2; i++) {
		pid = fork();
		if (!pid)
			use_it(socks[1]);
		t1_send_fd(socks[0], dev.fd);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_EQ(5 + i, __t1_pasid_alloc(c, 5 + i, 5 + i));
	}
	t1_vtest_close(&dev);
	close(socks[0]);
	close(socks[1]);
}

/* The same by the process that has the container, for which a device is no way in, either */
TEST_F(owner, use_needs_a_claim)
{
	const char *name = t1_vtest_find(0);
	struct t1_vtest dev;

	if (!name)
		SKIP(return, "%s", T1_VTEST_HINT);
	t1_vtest_open(&dev, &self->container, name);
	EXPECT_EQ(-EPERM, __t1_pasid_attach(&dev, 5, -1));
	T1_IN_CHILD(T1_ASSERT(__t1_pasid_alloc(&self->container, 5, 5) == 5));
	t1_vtest_close(&dev);
}

/* The capability tells the state of the owner to every caller, and fdinfo who that is. */
TEST_F(owner, info_of_another)
{
	struct t1_container *c = &self->container;

	t1_pasid_alloc(c, 5, 5);
	T1_IN_CHILD(T1_ASSERT(t1_pasid_info(c).used == 1);
		    T1_ASSERT(t1_told(c, "vfio-pasids-process") == getppid()));
}

TEST_F(owner, passed_to_another_process)
{
	struct t1_container *c = &self->container;
	int socks[2], status;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = fork();
	if (!pid) {
		struct t1_container passed = { .fd = t1_receive_fd(socks[1]) };

		T1_ASSERT(__t1_pasid_free(&passed, 5, 5) == -EPERM);
		T1_ASSERT(__t1_pasid_alloc(&passed, 6, 6) == -EPERM);
		_exit(0);
	}
	t1_pasid_alloc(c, 5, 5);
	t1_send_fd(socks[0], c->fd);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	close(socks[0]);
	close(socks[1]);
}

/* Two processes, each with a container and a group of its own */
TEST_F(owner, foreign_pasids)
{
	const char *bdf = t1_require(T1_IVSHMEM, 1);
	struct t1_container other;
	struct t1_group *group;

	t1_pasid_alloc(&self->container, 5, 5);
	T1_IN_CHILD(t1_container_open(&other);
		    T1_ASSERT_OK(__t1_group_get(&other, t1_group_of(bdf), &group));
		    T1_ASSERT(t1_pasid_info(&other).used == 0);
		    t1_pasid_alloc(&other, 8, 8);
		    T1_ASSERT(__t1_pasid_alloc(&other, 5, 5) == -ENOSPC);
		    T1_ASSERT(__t1_pasid_free(&other, 5, 5) == -EACCES);
		    T1_ASSERT(__t1_pasid_free(&other, 5, 6) == -ENOENT);
		    T1_ASSERT(__t1_pasid_free(&other, 1, LAST) == 1));
	EXPECT_EQ(1, __t1_pasid_free(&self->container, 5, 5));
}

/* All containers of one address space share what it has. */
TEST_F(owner, several_containers)
{
	const char *bdf = t1_require(T1_IVSHMEM, 1);
	unsigned int quota = t1_pasids_per_group();
	struct t1_container other;
	struct t1_group *group;

	t1_pasid_alloc(&self->container, 5, 5);
	t1_container_open(&other);
	ASSERT_EQ(0, __t1_group_get(&other, t1_group_of(bdf), &group));
	EXPECT_EQ(2 * quota, t1_pasid_info(&other).quota);
	EXPECT_EQ(quota, t1_pasid_info(&self->container).quota);
	t1_pasid_alloc(&other, 6, 6);
	EXPECT_EQ(2 * quota, t1_pasid_info(&self->container).quota);
	EXPECT_EQ(2, t1_pasid_info(&self->container).used);
	EXPECT_EQ(1, __t1_pasid_free(&self->container, 6, 6));
	EXPECT_EQ(1, __t1_pasid_free(&other, 5, 5));

	/* Those of a container go with its group. */
	t1_pasid_alloc(&self->container, 7, 7);
	t1_pasid_alloc(&other, 8, 8);
	t1_group_put(group);
	EXPECT_EQ(1, t1_pasid_info(&self->container).used);
	EXPECT_EQ(quota, t1_pasid_info(&self->container).quota);
	EXPECT_EQ(8, __t1_pasid_alloc(&self->container, 8, 8));
	t1_container_close(&other);
}

/* Two groups in a container, and one in another one */
struct three {
	struct t1_container other;
	struct t1_group *second;
	struct t1_vtest dev;
};

static void three_open(struct three *three, struct t1_container *c, const char *bdf,
		       const char *name)
{
	t1_container_open(&three->other);
	t1_vtest_open(&three->dev, &three->other, name);
	T1_ASSERT_OK(__t1_group_get(c, t1_group_of(bdf), &three->second));
}

/* The second group has been put. */
static void three_close(struct three *three)
{
	t1_vtest_close(&three->dev);
	t1_container_close(&three->other);
}

/*
 * Of three groups, two in the first container, it is the first one that loses what a
 * group there brought, though the newest are in the other one.
 */
TEST_F(owner, detach_trims_its_own_container)
{
	const char *bdf = t1_require(T1_IVSHMEM, 1), *name = t1_vtest_find(0);
	struct t1_container *c = &self->container;
	unsigned int quota = t1_pasids_per_group();
	struct three three;

	if (!name)
		SKIP(return, "%s", T1_VTEST_HINT);
	three_open(&three, c, bdf, name);
	t1_pasid_alloc(&three.other, LAST, LAST);
	ASSERT_EQ(2 * quota, t1_pasid_alloc_all(c, 1, 2 * quota));
	ASSERT_EQ(quota - 1, t1_pasid_alloc_all(&three.other, 2 * quota + 1, LAST));
	t1_group_put(three.second);
	EXPECT_EQ(quota, t1_told(c, "vfio-pasids"));
	EXPECT_EQ(quota, t1_told(&three.other, "vfio-pasids"));
	EXPECT_EQ(quota, __t1_pasid_free(c, 1, 2 * quota));
	EXPECT_EQ(quota, __t1_pasid_free(c, 1, LAST));
	three_close(&three);
}

/* Only what that one does not have comes from the other. */
TEST_F(owner, detach_trims_another_container_last)
{
	const char *bdf = t1_require(T1_IVSHMEM, 1), *name = t1_vtest_find(0);
	struct t1_container *c = &self->container;
	unsigned int quota = t1_pasids_per_group();
	struct three three;

	if (!name)
		SKIP(return, "%s", T1_VTEST_HINT);
	three_open(&three, c, bdf, name);
	t1_pasid_alloc(c, LAST, LAST);
	ASSERT_EQ(3 * quota - 1, t1_pasid_alloc_all(&three.other, 1, 3 * quota));
	t1_group_put(three.second);
	EXPECT_EQ(0, t1_told(c, "vfio-pasids"));
	EXPECT_EQ(2 * quota, t1_told(&three.other, "vfio-pasids"));
	EXPECT_EQ(2 * quota, __t1_pasid_free(c, 1, 3 * quota));
	three_close(&three);
}

/* A container that is nobody's has a part in nobody's quota. */
TEST_F(owner, detach_of_nobodys_group)
{
	const char *bdf = t1_require(T1_IVSHMEM, 1);
	unsigned int quota = t1_pasids_per_group();
	struct t1_container other;
	struct t1_group *group;

	ASSERT_EQ(quota, t1_pasid_alloc_all(&self->container, 1, LAST));
	t1_container_open(&other);
	ASSERT_EQ(0, __t1_group_get(&other, t1_group_of(bdf), &group));
	EXPECT_EQ(-EPERM, __t1_pasid_free(&other, 1, LAST));
	EXPECT_EQ(-EDQUOT, __t1_pasid_alloc(&self->container, 1, LAST));
	t1_group_put(group);
	t1_container_close(&other);
	EXPECT_EQ(quota, __t1_pasid_free(&self->container, 1, LAST));
}

/* Container, group and device, closed in every order */
TEST_F(owner, close_order)
{
	static const int orders[][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
	};
	const char *bdf = t1_find(T1_IVSHMEM, 0);
	struct t1_container c;
	struct t1_device dev;
	unsigned int i, j;

	t1_group_put(self->group);
	t1_container_close(&self->container);
	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		t1_container_open(&c);
		t1_device_open(&dev, &c, bdf);
		EXPECT_EQ(5, __t1_pasid_alloc(&c, 5, 5));
		int fds[] = { c.fd, dev.group->fd, dev.fd };

		for (j = 0; j < 3; j++)
			close(fds[orders[i][j]]);
	}
	t1_container_open(&self->container);
	ASSERT_EQ(0, __t1_group_get(&self->container, self->group_id, &self->group));
}

TEST_HARNESS_MAIN
