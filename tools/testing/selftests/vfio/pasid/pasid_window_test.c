// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races of PASIDs, on purpose: a call is delayed where it matters, and another one
 * comes in between. Each window belongs to a rule in the head comments of
 * drivers/vfio/pasid.c or drivers/iommu/pasid_pool.c, or to the first patch of the
 * series. Those of devices are in space_window_test.c. What was changed, to see the
 * test fail:
 *
 *	last_group_goes_while_allocating  ALLOC without vfio_pasid_owner.lock
 *	last_group_goes_before_request	  vfio_backend_put() before the ioctl
 *	fdinfo_while_last_group_goes	  vfio_pasid_show() with vfio_pasid_owner.lock
 *	claim_while_owner_goes		  the container is nobody's before its PASIDs are free
 *	last_group_goes_while_owner_goes  vfio_pasid_reap() without vfio_pasid_owner.lock
 *	two_claims			  no second look for an owner with a fresh one at hand
 *	two_requests_after_exec		  the same
 *	lookup_after_last_put		  pasid_find() finds what is not live
 *
 * Fails on stock 6.1, which has none of these functions.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_delay.h"
#include "../lib/type1_fd.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_vtest.h"

#define PASID	5

/* Two containers with a device each, which can use PASIDs */
FIXTURE(window) {
	struct t1_container c, other;
	struct t1_vtest dev, other_dev;
	const char *name, *other_name;
};

FIXTURE_SETUP(window)
{
	if (!t1_race_usable())
		T1_SKIP("%s", T1_RACE_HINT);
	self->name = t1_vtest_find(0);
	self->other_name = t1_vtest_find(1);
	if (!self->name || !self->other_name)
		T1_SKIP("%s", T1_VTEST_HINT);
	t1_container_open(&self->c);
	t1_container_open(&self->other);
	t1_vtest_open(&self->dev, &self->c, self->name);
	t1_vtest_open(&self->other_dev, &self->other, self->other_name);
}

/* Nothing is lost: the other container gets the number. */
FIXTURE_TEARDOWN(window)
{
	t1_vtest_close(&self->dev);
	t1_container_close(&self->c);
	__t1_pasid_free(&self->other, PASID, PASID);
	EXPECT_EQ(PASID, t1_pasid_alloc_soon(&self->other, PASID, PASID));
	t1_vtest_close(&self->other_dev);
	t1_container_close(&self->other);
}

/* What is delayed: calls for t1_race_begin() */

/* When it is overtaken by the detach, it fails. */
static void alloc(void *c)
{
	int ret = __t1_pasid_alloc(c, PASID, PASID);

	T1_ASSERT(ret == PASID || ret == -EINVAL || ret == -ENODEV);
}

static void detach(void *dev)
{
	t1_vtest_close(dev);
}

static void free_it(void *c)
{
	T1_ASSERT(__t1_pasid_free(c, PASID, PASID) == 1);
}

/* In a process of its own, which is gone then */
static void own_and_die(void *c)
{
	pid_t pid = fork();

	if (!pid) {
		t1_pasid_alloc(c, PASID, PASID);
		_exit(0);
	}
	T1_ASSERT(waitpid(pid, NULL, 0) == pid);
}

static void be_refused(void *c)
{
	T1_ASSERT(__t1_pasid_alloc(c, PASID, PASID) == -EPERM);
}

/* The owner's PASIDs are taken back when no allocation is under way any more. */
TEST_F(window, last_group_goes_while_allocating)
{
	struct t1_race race;

	t1_race_begin(&race, "pasid_alloc", "", alloc, &self->c);
	t1_vtest_close(&self->dev);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(PASID, __t1_pasid_alloc(&self->other, PASID, PASID));
	t1_vtest_open(&self->dev, &self->c, self->name);
}

/* A request has a reference to the backend, which is released after it. */
TEST_F(window, last_group_goes_before_request)
{
	struct t1_race race;

	t1_race_begin_free(&race, "vfio_pasid_request", "", alloc, &self->c);
	t1_vtest_close(&self->dev);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(PASID, __t1_pasid_alloc(&self->other, PASID, PASID));
	t1_vtest_open(&self->dev, &self->c, self->name);
}

/* An administrator does not wait for a container that gives its PASIDs back. */
TEST_F(window, fdinfo_while_last_group_goes)
{
	struct t1_race race;

	t1_pasid_alloc(&self->c, PASID, PASID);
	t1_race_begin_free(&race, "pasid_pool_trim", "", detach, &self->dev);
	EXPECT_EQ(1, t1_told(&self->c, "vfio-pasids"));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	t1_vtest_open(&self->dev, &self->c, self->name);
}

/* Who wants the container of an owner that is gone gets it when nothing is left in it. */
TEST_F(window, claim_while_owner_goes)
{
	struct t1_race race;

	t1_race_begin_free_work(&race, "pasid_pool_destroy", own_and_die, &self->c);
	EXPECT_EQ(-EPERM, __t1_pasid_alloc(&self->c, PASID + 1, PASID + 1));
	EXPECT_EQ(-EPERM, __t1_pasid_free(&self->c, PASID, PASID));
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(&self->other, PASID, PASID));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(PASID + 1, t1_pasid_alloc_soon(&self->c, PASID + 1, PASID + 1));
	EXPECT_EQ(1, t1_told(&self->c, "vfio-pasids"));
}

/* Either takes the PASIDs back, the other one waits, and finds nothing to do. */
TEST_F(window, last_group_goes_while_owner_goes)
{
	struct t1_race race;

	t1_race_begin_work(&race, "pasid_pool_destroy", own_and_die, &self->c);
	t1_vtest_close(&self->dev);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(PASID, __t1_pasid_alloc(&self->other, PASID, PASID));
	t1_vtest_open(&self->dev, &self->c, self->name);
}

/* An owner is made ready before it is known whether the container is still nobody's. */
TEST_F(window, two_claims)
{
	struct t1_race race;
	pid_t pid;

	t1_race_begin_free(&race, "pasid_owner_init", "", be_refused, &self->c);
	pid = fork();
	if (!pid) {
		t1_pasid_alloc(&self->c, PASID, PASID);
		for (;;)
			pause();
	}
	while (!t1_told(&self->c, "vfio-pasids"))
		usleep(1000);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_EQ(PASID, t1_pasid_alloc_soon(&self->other, PASID, PASID));
}

/* With the first request after an exec come all containers, also while one is asked. */
static int after_exec(int fd, int other_fd)
{
	struct t1_container c = { .fd = fd }, other = { .fd = other_fd };
	struct t1_race race;

	t1_race_begin_free(&race, "pasid_owner_init", "", free_it, &c);
	T1_ASSERT(__t1_pasid_free(&other, PASID + 1, PASID + 1) == 1);
	T1_ASSERT(t1_race_overtaken());
	t1_race_end(&race);
	return 0;
}

TEST_F(window, two_requests_after_exec)
{
	const int fds[] = { self->c.fd, self->other.fd };

	T1_IN_CHILD(t1_pasid_alloc(&self->c, PASID, PASID);
		    t1_pasid_alloc(&self->other, PASID + 1, PASID + 1);
		    t1_exec_self("--exec", fds, 2));
}

/* A number that is being returned to the space belongs to nobody. */
TEST_F(window, lookup_after_last_put)
{
	struct t1_race race;

	t1_pasid_alloc(&self->c, PASID, PASID);
	t1_pasid_alloc(&self->other, PASID + 1, PASID + 1);
	t1_race_begin_free(&race, "ioasid_free", "", free_it, &self->c);
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(&self->other, PASID, PASID));
	EXPECT_EQ(-ENOENT, __t1_pasid_free(&self->other, PASID, PASID));
	EXPECT_EQ(-ENOENT, __t1_pasid_attach(&self->other_dev, PASID, -1));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(PASID, __t1_pasid_alloc(&self->other, PASID, PASID));
}

__attribute__((constructor)) static void check_for_exec(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "--exec"))
		_exit(after_exec(atoi(argv[2]), atoi(argv[3])));
}

TEST_HARNESS_MAIN
