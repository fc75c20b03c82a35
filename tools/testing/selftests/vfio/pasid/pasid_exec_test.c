// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process that executes another program keeps its containers and PASIDs, as QEMU
 * when it updates itself. From the execve() to its first request, and after that,
 * others try to get them: a child, a process that was passed the container's file,
 * one with nothing but a device's, one that shared the address space.
 *
 * Fails on stock 6.1: there are no PASIDs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_fd.h"
#include "../lib/type1_pair.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_rival.h"
#include "../lib/type1_stall.h"
#include "../lib/type1_vtest.h"

#define FIRST	"PASID_EXEC_TEST_FIRST"	/* in the environment */
#define LAST	((1U << 20) - 1)

/* Others try to get the container of the owner. */
struct rig {
	struct t1_pair pair;
	struct t1_rivals rivals;
};

/* Who they are, besides those of a test itself */
#define CHILD	1
#define PASSED	2	/* the container's file */
#define DEVICE	4	/* the device's file */
#define ALL	(CHILD | PASSED | DEVICE)

static void rig_open(struct rig *rig, int who)
{
	struct t1_pair *pair = &rig->pair;

	t1_pair_open(pair);
	t1_rivals_open(&rig->rivals);
	if (who & CHILD)
		t1_rival_fork(&rig->rivals, pair->c.fd, -1, false);
	if (who & PASSED)
		t1_rival_fork(&rig->rivals, pair->c.fd, -1, true);
	if (who & DEVICE)
		t1_rival_fork(&rig->rivals, -1, pair->dev.fd, true);
}

/* This program, executed anew; see check_for_exec() */

static bool free_first(struct t1_container *c, struct t1_vtest *dev)
{
	return __t1_pasid_free(c, 6, 6) == 1 && __t1_pasid_alloc(c, 6, 6) == 6;
}

static bool alloc_first(struct t1_container *c, struct t1_vtest *dev)
{
	return __t1_pasid_alloc(c, 8, 8) == 8 && __t1_pasid_free(c, 8, 8) == 1;
}

/* The first request is one for a device. */
static bool attach_first(struct t1_container *c, struct t1_vtest *dev)
{
	return !__t1_pasid_attach(dev, 6, -1) && !__t1_pasid_detach(dev, 6);
}

/* One that fails is as good. */
static bool fail_first(struct t1_container *c, struct t1_vtest *dev)
{
	return __t1_pasid_free(c, 9, LAST) == -ENOENT;
}

static int after_exec(int fd, int dev_fd, int rivals_fd,
		      bool (*first)(struct t1_container *c, struct t1_vtest *dev))
{
	struct t1_container c = { .fd = fd };
	struct t1_vtest dev = { .fd = dev_fd };
	struct t1_rivals rivals;

	t1_rivals_attach(&rivals, rivals_fd);
	t1_rivals_meet(&rivals);
	T1_ASSERT(first(&c, &dev));
	t1_rivals_meet(&rivals);
	T1_ASSERT(t1_pasid_info(&c).used == 3);
	T1_ASSERT(t1_pasid_info(&c).quota == t1_pasids_per_group());
	T1_ASSERT(__t1_pasid_free(&c, 1, LAST) == 3);
	t1_rivals_meet(&rivals);
	T1_ASSERT(__t1_pasid_alloc(&c, 5, 5) == 5);
	t1_rivals_stop(&rivals);
	return 0;
}

/* Another process after its own exec tries to get what it shared before. */
static int rival_after_exec(int fd, int rivals_fd)
{
	struct t1_rivals rivals;

	t1_rivals_attach(&rivals, rivals_fd);
	t1_rival_run(&rivals, fd, -1);
	return 0;
}

/* What an owner does before its exec, and how it executes */

static struct {
	struct rig *rig;
	const char *first;
} job;

static void exec_job(void)
{
	struct rig *rig = job.rig;

	t1_exec_self(job.first, (int[]) { rig->pair.c.fd, rig->pair.dev.fd, rig->rivals.fd }, 3);
}

/* No request between two of them */
static void exec_twice(void)
{
	setenv(FIRST, job.first, true);
	job.first = "--again";
	exec_job();
}

static void *thread_exec(void *arg)
{
	exec_job();
	return NULL;
}

/* The thread that does it gets the id of the process' first one, which ends. */
static void exec_by_thread(void)
{
	pthread_t thread;

	T1_ASSERT(!pthread_create(&thread, NULL, thread_exec, NULL));
	pause();
}

static void *orphan_exec(void *arg)
{
	t1_wait_leader_gone();
	exec_job();
	return NULL;
}

/* Here that one has ended before. */
static void exec_without_leader(void)
{
	pthread_t thread;

	T1_ASSERT(!pthread_create(&thread, NULL, orphan_exec, NULL));
	syscall(SYS_exit, 0);
}

static char stack[65536];

/* Keeps the address space of the process that made it, as vhost does, and no files. */
static int hold_mm(void *held)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close_range(3, UINT_MAX, 0);
	__atomic_store_n((bool *)held, true, __ATOMIC_RELEASE);
	pause();
	return 0;
}

static void exec_while_old_mm_lives(void)
{
	static bool held;

	T1_ASSERT(clone(hold_mm, stack + sizeof(stack), CLONE_VM | SIGCHLD, &held) > 0);
	while (!__atomic_load_n(&held, __ATOMIC_ACQUIRE))
		sched_yield();
	exec_job();
}

static int exec_rival(void *unused)
{
	t1_exec_self("--rival", (int[]) { job.rig->pair.c.fd, job.rig->rivals.fd }, 2);
	return 1;
}

/* Both of two processes that share the address space execute, at the same time. */
static void exec_in_two_processes(void)
{
	t1_rivals_expect(&job.rig->rivals);
	T1_ASSERT(clone(exec_rival, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL) > 0);
	exec_job();
}

/* The same, one after the other */
static void exec_after_another(void)
{
	t1_rivals_expect(&job.rig->rivals);
	T1_ASSERT(clone(exec_rival, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD,
			NULL) > 0);
	t1_rivals_meet(&job.rig->rivals);
	exec_job();
}

FIXTURE(exec) {
	struct rig rig;
};

FIXTURE_VARIANT(exec) {
	void (*exec)(void);
	const char *first;
	int who;
};

FIXTURE_VARIANT_ADD(exec, child) { .exec = exec_job, .first = "--free", .who = CHILD };
FIXTURE_VARIANT_ADD(exec, passed) { .exec = exec_job, .first = "--free", .who = PASSED };
FIXTURE_VARIANT_ADD(exec, device) { .exec = exec_job, .first = "--free", .who = DEVICE };
FIXTURE_VARIANT_ADD(exec, free) { .exec = exec_job, .first = "--free" };
FIXTURE_VARIANT_ADD(exec, alloc) { .exec = exec_job, .first = "--alloc" };
FIXTURE_VARIANT_ADD(exec, attach) { .exec = exec_job, .first = "--attach" };
FIXTURE_VARIANT_ADD(exec, fail) { .exec = exec_job, .first = "--fail" };
FIXTURE_VARIANT_ADD(exec, twice) { .exec = exec_twice, .first = "--free" };
FIXTURE_VARIANT_ADD(exec, thread) { .exec = exec_by_thread, .first = "--free" };
FIXTURE_VARIANT_ADD(exec, without_leader) { .exec = exec_without_leader, .first = "--free" };
FIXTURE_VARIANT_ADD(exec, old_mm_lives) { .exec = exec_while_old_mm_lives, .first = "--free" };
FIXTURE_VARIANT_ADD(exec, two_processes) { .exec = exec_in_two_processes, .first = "--free" };
FIXTURE_VARIANT_ADD(exec, after_another) { .exec = exec_after_another, .first = "--free" };

FIXTURE_SETUP(exec)
{
	t1_require_pair();
	rig_open(&self->rig, variant->who ?: ALL);
}

FIXTURE_TEARDOWN(exec)
{
	t1_pair_close(&self->rig.pair);
}

static void own_and_exec(struct rig *rig, void (*exec)(void), const char *first)
{
	job.rig = rig;
	job.first = first;
	t1_pair_alloc(&rig->pair);
	t1_rivals_meet(&rig->rivals);
	exec();
}

TEST_F(exec, keeps_all)
{
	T1_IN_CHILD(own_and_exec(&self->rig, variant->exec, variant->first));
	EXPECT_STREQ("", t1_rivals_end(&self->rig.rivals));
}

static int exec_first(char **argv)
{
	static const struct {
		const char *name;
		bool (*first)(struct t1_container *c, struct t1_vtest *dev);
	} all[] = {
		{ "--free", free_first },
		{ "--alloc", alloc_first },
		{ "--attach", attach_first },
		{ "--fail", fail_first },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++)
		if (!strcmp(argv[1], all[i].name))
			return after_exec(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]),
					  all[i].first);
	t1_exec_self(getenv(FIRST), (int[]) { atoi(argv[2]), atoi(argv[3]), atoi(argv[4]) }, 3);
	return 1;
}

__attribute__((constructor)) static void check_for_exec(int argc, char **argv)
{
	if (argc == 5)
		_exit(exec_first(argv));
	if (argc == 4 && !strcmp(argv[1], "--rival"))
		_exit(rival_after_exec(atoi(argv[2]), atoi(argv[3])));
}

TEST_HARNESS_MAIN
