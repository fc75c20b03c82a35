// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whose PASIDs are: fork, exec, files passed to another process, death, and
 * files closed in every order.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_fd.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_pci.h"

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

/* When the owner is gone, the next one takes over, with all PASIDs. */
TEST_F(owner, death)
{
	struct t1_container *c = &self->container;

	T1_IN_CHILD(t1_pasid_alloc(c, 5, 5);
		    t1_pasid_alloc(c, 7, 7));
	EXPECT_EQ(2, t1_pasid_info(c).used);
	EXPECT_EQ(t1_pasids_per_group(), t1_pasid_info(c).quota);
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(c, 5, 5));
	EXPECT_EQ(2, t1_pasid_info(c).used);
	EXPECT_EQ(1, __t1_pasid_free(c, 5, 5));
	T1_IN_CHILD(T1_ASSERT(__t1_pasid_free(c, 7, 7) == -EPERM));
}

/* The capability tells the state of the owner to every caller. */
TEST_F(owner, info_of_another)
{
	struct t1_container *c = &self->container;

	t1_pasid_alloc(c, 5, 5);
	T1_IN_CHILD(T1_ASSERT(t1_pasid_info(c).used == 1));
}

static void alloc_three(struct t1_container *c)
{
	for (int i = 5; i < 8; i++)
		t1_pasid_alloc(c, i, i);
}

/* This program, executed anew with --exec; see check_for_exec() */
static int after_exec(int fd)
{
	struct t1_container c = { .fd = fd };

	T1_ASSERT(t1_pasid_info(&c).used == 3);
	T1_ASSERT(__t1_pasid_free(&c, 6, 6) == 1);
	T1_ASSERT(__t1_pasid_alloc(&c, 6, 6) == 6);
	T1_ASSERT(t1_pasid_info(&c).used == 3);
	T1_ASSERT(t1_pasid_info(&c).quota == t1_pasids_per_group());
	return 0;
}

TEST_F(owner, exec)
{
	struct t1_container *c = &self->container;
	int fd = dup(c->fd);	/* without O_CLOEXEC */

	T1_IN_CHILD(alloc_three(c);
		    t1_exec_self("--exec", &fd, 1));
	close(fd);
	EXPECT_EQ(3, __t1_pasid_free(c, 1, LAST));
}

static bool held;

/* Keeps the address space of the process that made it, as vhost does, and no files. */
static int hold_mm(void *arg)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close_range(3, UINT_MAX, 0);
	__atomic_store_n(&held, true, __ATOMIC_RELEASE);
	pause();
	return 0;
}

static void start_holding_mm(void)
{
	static char stack[65536];

	T1_ASSERT(clone(hold_mm, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL) > 0);
	while (!__atomic_load_n(&held, __ATOMIC_ACQUIRE))
		sched_yield();
}

TEST_F(owner, exec_while_the_old_mm_lives)
{
	struct t1_container *c = &self->container;
	int fd = dup(c->fd);

	T1_IN_CHILD(alloc_three(c);
		    start_holding_mm();
		    t1_exec_self("--exec", &fd, 1));
	close(fd);
	/* That process is gone, and its second address space with it. */
	EXPECT_EQ(3, __t1_pasid_free(c, 1, LAST));
}

/* With the first request after an exec come all containers, whichever it uses. */
static int after_exec_two(int fd)
{
	struct t1_container c = { .fd = fd };

	T1_ASSERT(t1_pasid_info(&c).quota == 2 * t1_pasids_per_group());
	T1_ASSERT(__t1_pasid_free(&c, 1, LAST) == 2);
	return 0;
}

TEST_F(owner, exec_with_two_containers)
{
	const char *bdf = t1_require(T1_IVSHMEM, 1);
	struct t1_container *c = &self->container, other;
	struct t1_group *group;
	int fd = dup(c->fd);

	T1_IN_CHILD(t1_container_open(&other);
		    T1_ASSERT_OK(__t1_group_get(&other, t1_group_of(bdf), &group));
		    t1_pasid_alloc(c, 5, 5);
		    t1_pasid_alloc(&other, 6, 6);
		    T1_ASSERT(dup(group->fd) > 0);
		    t1_exec_self("--exec-two", &fd, 1));
	close(fd);
}

/*
 * The same when a container that was opened after the exec comes first. All PASIDs are
 * in one container, more than its group alone allows.
 */
static int after_exec_new(int fd)
{
	struct t1_container c = { .fd = fd }, fresh;
	struct t1_group *group;
	const char *bdf = t1_find(T1_EDU, 0);

	T1_ASSERT(bdf);
	t1_container_open(&fresh);
	T1_ASSERT_OK(__t1_group_get(&fresh, t1_group_of(bdf), &group));
	T1_ASSERT(t1_pasid_info(&fresh).quota == 3 * t1_pasids_per_group());
	T1_ASSERT(t1_pasid_info(&fresh).used == t1_pasids_per_group() + 1);
	t1_pasid_alloc(&fresh, 7, 7);
	T1_ASSERT(t1_pasid_info(&c).quota == 3 * t1_pasids_per_group());
	T1_ASSERT(__t1_pasid_free(&fresh, 1, LAST) == (int)t1_pasids_per_group() + 2);
	return 0;
}

static void alloc_many(struct t1_container *c, unsigned int count)
{
	while (count--)
		t1_pasid_alloc(c, 8, LAST);
}

TEST_F(owner, exec_and_a_new_container)
{
	const char *bdf = t1_require(T1_IVSHMEM, 1);
	struct t1_container *c = &self->container, other;
	unsigned int count = t1_pasids_per_group() + 1;
	struct t1_group *group;
	int fd = dup(c->fd);

	T1_IN_CHILD(t1_container_open(&other);
		    T1_ASSERT_OK(__t1_group_get(&other, t1_group_of(bdf), &group));
		    t1_pasid_alloc(&other, 5, 5);
		    T1_ASSERT(__t1_pasid_free(&other, 5, 5) == 1);
		    alloc_many(c, count);
		    T1_ASSERT(dup(group->fd) > 0);
		    t1_exec_self("--exec-new", &fd, 1));
	close(fd);
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
		    T1_ASSERT(__t1_pasid_alloc(&other, 5, 5) == -ENOSPC);
		    T1_ASSERT(__t1_pasid_free(&other, 5, 5) == -EACCES);
		    T1_ASSERT(__t1_pasid_free(&other, 5, 6) == -ENOENT);
		    t1_pasid_alloc(&other, 8, 8);
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

/* What a victim does until it is killed; files in any state */
static void allocate_forever(int group_id, unsigned int *steps)
{
	struct t1_container c;
	struct t1_group *group;

	for (;;) {
		t1_container_open(&c);
		T1_ASSERT_OK(__t1_group_get(&c, group_id, &group));
		for (int i = 1; i <= 100; i++) {
			t1_pasid_alloc(&c, 1, 100);
			__atomic_add_fetch(steps, 1, __ATOMIC_RELAXED);
		}
		T1_ASSERT(__t1_pasid_free(&c, 20, 30) == 11);
		if (rand() & 1)
			t1_group_put(group), close(c.fd);
		else
			close(c.fd), t1_group_put(group);
	}
}

TEST_F(owner, killed)
{
	const struct timespec wait = { .tv_nsec = 20000 };
	unsigned int *steps, end;
	int i, status;
	pid_t pid;

	steps = mmap(NULL, sizeof(*steps), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	ASSERT_NE(MAP_FAILED, steps);
	t1_group_put(self->group);
	for (i = 0; i < 100; i++) {
		*steps = 0;
		end = 1 + rand() % 250;
		pid = fork();
		if (!pid) {
			srand(i);
			allocate_forever(self->group_id, steps);
		}
		while (__atomic_load_n(steps, __ATOMIC_RELAXED) < end)
			nanosleep(&wait, NULL);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
	}
	munmap(steps, sizeof(*steps));
	ASSERT_EQ(0, __t1_group_get(&self->container, self->group_id, &self->group));
	ASSERT_EQ(0, t1_pasid_info(&self->container).used);
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

__attribute__((constructor)) static void check_for_exec(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--exec"))
		_exit(after_exec(atoi(argv[2])));
	if (argc == 3 && !strcmp(argv[1], "--exec-two"))
		_exit(after_exec_two(atoi(argv[2])));
	if (argc == 3 && !strcmp(argv[1], "--exec-new"))
		_exit(after_exec_new(atoi(argv[2])));
}

TEST_HARNESS_MAIN
