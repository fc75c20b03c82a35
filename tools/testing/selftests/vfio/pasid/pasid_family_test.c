// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that share the owner's address space execute: one of them is the owner, by
 * having asked first, and the others are nobody, with the files or without. Of the
 * owner's containers, all come along. See pasid_exec_test.c for an owner alone.
 *
 * Fails on stock 6.1: there are no PASIDs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_fd.h"
#include "../lib/type1_pair.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_rival.h"

#define LAST	((1U << 20) - 1)

static char stack[65536];

/* Others try to get the container of the owner, all the time. */
struct rig {
	struct t1_pair pair;
	struct t1_rivals rivals;
};

FIXTURE(family) {
	struct rig rig;
};

FIXTURE_SETUP(family)
{
	struct rig *rig = &self->rig;

	t1_require_pair();
	t1_pair_open(&rig->pair);
	t1_rivals_open(&rig->rivals);
	t1_rival_fork(&rig->rivals, rig->pair.c.fd, rig->pair.dev.fd, true);
}

FIXTURE_TEARDOWN(family)
{
	t1_pair_close(&self->rig.pair);
}

/* This program, executed anew; see check_for_exec(): one tries to get what it shared before */
static int rival_after_exec(int fd, int rivals_fd)
{
	struct t1_rivals rivals;

	t1_rivals_attach(&rivals, rivals_fd);
	t1_rival_run(&rivals, fd, -1);
	return 0;
}

static int execute_rival(void *arg)
{
	struct rig *rig = arg;

	t1_exec_self("--rival", (int[]) { rig->pair.c.fd, rig->rivals.fd }, 2);
	return 1;
}

static void child_executes(struct rig *rig, int flags)
{
	t1_pair_alloc(&rig->pair);
	t1_rivals_expect(&rig->rivals);
	T1_ASSERT(clone(execute_rival, stack + sizeof(stack), CLONE_VM | flags | SIGCHLD, rig) > 0);
	t1_rivals_meet(&rig->rivals);
	T1_ASSERT(__t1_pasid_free(&rig->pair.c, 1, LAST) == 3);
	t1_rivals_meet(&rig->rivals);
	T1_ASSERT(__t1_pasid_alloc(&rig->pair.c, 5, 5) == 5);
	t1_rivals_stop(&rig->rivals);
}

TEST_F(family, vfork_child_executes)
{
	T1_IN_CHILD(child_executes(&self->rig, CLONE_VFORK));
	EXPECT_STREQ("", t1_rivals_end(&self->rig.rivals));
}

TEST_F(family, clone_vm_child_executes)
{
	T1_IN_CHILD(child_executes(&self->rig, 0));
	EXPECT_STREQ("", t1_rivals_end(&self->rig.rivals));
}

/* And one is the owner */
static int after_exec(int fd, int rivals_fd)
{
	struct t1_container c = { .fd = fd };
	struct t1_rivals rivals;

	t1_rivals_attach(&rivals, rivals_fd);
	t1_rivals_meet(&rivals);
	T1_ASSERT(__t1_pasid_free(&c, 6, 6) == 1);
	t1_rivals_meet(&rivals);
	T1_ASSERT(t1_pasid_info(&c).used == 2);
	t1_rivals_stop(&rivals);
	return 0;
}

static int ask_and_execute(void *arg)
{
	struct rig *rig = arg;

	t1_pair_alloc(&rig->pair);
	t1_exec_self("--owner", (int[]) { rig->pair.c.fd, rig->rivals.fd }, 2);
	return 1;
}

/* The owner is a child that shares the address space: its parent is, no longer than that. */
static void child_is_first(struct rig *rig)
{
	int ret, status;
	pid_t pid;

	pid = clone(ask_and_execute, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, rig);
	T1_ASSERT(pid > 0);
	while ((ret = __t1_pasid_free(&rig->pair.c, LAST, LAST)) == -ENOENT)
		usleep(1000);
	T1_ASSERT(ret == -EPERM);
	T1_ASSERT(waitpid(pid, &status, 0) == pid && !status);
	T1_ASSERT(t1_pasid_alloc_soon(&rig->pair.c, 5, 5) == 5);
}

TEST_F(family, child_that_asked_first_executes)
{
	T1_IN_CHILD(child_is_first(&self->rig));
	EXPECT_STREQ("", t1_rivals_end(&self->rig.rivals));
}

/* With the first request after an exec come all containers, whichever it uses. */
static int after_exec_two(int fd, int other_fd)
{
	struct t1_container c = { .fd = fd }, other = { .fd = other_fd };

	T1_ASSERT(__t1_pasid_free(&c, 6, 6) == 1);
	T1_ASSERT(t1_pasid_info(&other).quota == 2 * t1_pasids_per_group());
	T1_ASSERT(t1_pasid_info(&other).used == 1);
	T1_ASSERT(__t1_pasid_alloc(&other, 7, 7) == 7);
	T1_ASSERT(__t1_pasid_free(&c, 1, LAST) == 2);
	return 0;
}

TEST_F(family, two_containers)
{
	struct rig *rig = &self->rig;

	T1_IN_CHILD(t1_pasid_alloc(&rig->pair.c, 5, 5);
		    t1_pasid_alloc(&rig->pair.other, 6, 6);
		    t1_exec_self("--two", (int[]) { rig->pair.c.fd, rig->pair.other.fd }, 2));
	EXPECT_STREQ("", t1_rivals_end(&rig->rivals));
}

/* The same when a container that nobody had comes first; it takes an ALLOC. */
static int after_exec_new(int fd, int fresh_fd)
{
	struct t1_container c = { .fd = fd }, fresh = { .fd = fresh_fd };

	T1_ASSERT(__t1_pasid_free(&fresh, 1, LAST) == -EPERM);
	t1_pasid_alloc(&fresh, 8, 8);
	T1_ASSERT(t1_pasid_info(&fresh).quota == 2 * t1_pasids_per_group());
	T1_ASSERT(t1_pasid_info(&c).quota == 2 * t1_pasids_per_group());
	T1_ASSERT(t1_pasid_info(&c).used == 4);
	T1_ASSERT(__t1_pasid_free(&fresh, 1, LAST) == 4);
	return 0;
}

TEST_F(family, new_container)
{
	struct rig *rig = &self->rig;

	T1_IN_CHILD(t1_pair_alloc(&rig->pair);
		    t1_exec_self("--new", (int[]) { rig->pair.c.fd, rig->pair.other.fd }, 2));
	EXPECT_STREQ("", t1_rivals_end(&rig->rivals));
}

__attribute__((constructor)) static void check_for_exec(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "--rival"))
		_exit(rival_after_exec(atoi(argv[2]), atoi(argv[3])));
	if (argc == 4 && !strcmp(argv[1], "--owner"))
		_exit(after_exec(atoi(argv[2]), atoi(argv[3])));
	if (argc == 4 && !strcmp(argv[1], "--two"))
		_exit(after_exec_two(atoi(argv[2]), atoi(argv[3])));
	if (argc == 4 && !strcmp(argv[1], "--new"))
		_exit(after_exec_new(atoi(argv[2]), atoi(argv[3])));
}

TEST_HARNESS_MAIN
