// SPDX-License-Identifier: GPL-2.0-only
/*
 * An owner is a process and its address space. Either may outlive the other: the
 * owner is gone when both are. Meanwhile who has the address space is the owner, and
 * everybody else is refused.
 *
 * Fails on stock 6.1: there are no PASIDs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_fd.h"
#include "../lib/type1_pair.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_stall.h"

/* Which process or thread has the owner's mm still, and what it is asked for */
struct shared {
	pid_t test, pid;
	unsigned int asked, answered;
	int answer;
	bool exec;
};

struct rig {
	struct t1_pair pair;
	struct shared *shared;
};

FIXTURE(survivor) {
	struct rig rig;
};

FIXTURE_SETUP(survivor)
{
	struct rig *rig = &self->rig;

	t1_require_pair();
	t1_pair_open(&rig->pair);
	rig->shared = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			   0);
	ASSERT_NE(MAP_FAILED, rig->shared);
	rig->shared->test = getpid();
	/* Orphans are ours, to be waited for. */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
}

FIXTURE_TEARDOWN(survivor)
{
	t1_pair_close(&self->rig.pair);
	munmap(self->rig.shared, T1_PAGE);
}

static char stack[65536];

/* Asks for a PASID when it is told to. */
static int live_on(void *arg)
{
	struct rig *rig = arg;
	struct shared *shared = rig->shared;

	__atomic_store_n(&shared->pid, getpid(), __ATOMIC_RELEASE);
	/* Not longer than the test, whatever becomes of that */
	while (!kill(shared->test, 0)) {
		usleep(1000);
		if (__atomic_load_n(&shared->exec, __ATOMIC_ACQUIRE))
			t1_exec_self("--wait", &rig->pair.c.fd, 1);
		if (__atomic_load_n(&shared->asked, __ATOMIC_ACQUIRE) == shared->answered)
			continue;
		shared->answer = __t1_pasid_alloc(&rig->pair.c, 8, 8);
		__atomic_add_fetch(&shared->answered, 1, __ATOMIC_RELEASE);
	}
	return 0;
}

/* Returns what the process that lives on gets when it asks for a PASID. */
static int ask(struct shared *shared)
{
	__atomic_add_fetch(&shared->asked, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&shared->answered, __ATOMIC_ACQUIRE) != shared->asked)
		usleep(1000);
	return shared->answer;
}

static void start_living_on(struct rig *rig)
{
	T1_ASSERT(clone(live_on, stack + sizeof(stack), CLONE_VM | SIGCHLD, rig) > 0);
	while (!__atomic_load_n(&rig->shared->pid, __ATOMIC_ACQUIRE))
		usleep(1000);
}

static void kill_and_wait(pid_t pid)
{
	T1_ASSERT(!kill(pid, SIGKILL));
	T1_ASSERT(waitpid(pid, NULL, 0) == pid);
}

/* The process is dead, the address space is not, and who has that may go on. */
TEST_F(survivor, mm_lives_on)
{
	struct rig *rig = &self->rig;

	T1_IN_CHILD(t1_pair_alloc(&rig->pair);
		    start_living_on(rig));
	EXPECT_STREQ("", t1_pair_not_owned(&rig->pair));
	EXPECT_EQ(8, ask(rig->shared));
	EXPECT_EQ(4, t1_told(&rig->pair.c, "vfio-pasids"));
	kill_and_wait(rig->shared->pid);
	EXPECT_STREQ("", t1_pair_not_back(&rig->pair));
}

/* Who leaves it by an exec of its own is nobody, and holds nothing but files. */
TEST_F(survivor, last_one_executes)
{
	struct rig *rig = &self->rig;

	T1_IN_CHILD(t1_pair_alloc(&rig->pair);
		    start_living_on(rig));
	EXPECT_STREQ("", t1_pair_not_owned(&rig->pair));
	__atomic_store_n(&rig->shared->exec, true, __ATOMIC_RELEASE);
	EXPECT_STREQ("", t1_pair_not_back(&rig->pair));
	kill_and_wait(rig->shared->pid);
}

/* The other way round */
TEST_F(survivor, process_lives_on)
{
	struct rig *rig = &self->rig;
	pid_t pid;

	pid = fork();
	if (!pid) {
		signal(SIGCHLD, SIG_IGN);	/* no zombie is left of the other */
		t1_pair_alloc(&rig->pair);
		start_living_on(rig);
		while (!kill(rig->shared->test, 0))
			usleep(1000);
		_exit(1);
	}
	while (!__atomic_load_n(&rig->shared->pid, __ATOMIC_ACQUIRE))
		usleep(1000);
	T1_ASSERT(!kill(rig->shared->pid, SIGKILL));
	while (!kill(rig->shared->pid, 0))
		usleep(1000);
	EXPECT_STREQ("", t1_pair_not_owned(&rig->pair));
	kill_and_wait(pid);
	EXPECT_STREQ("", t1_pair_not_back(&rig->pair));
}

/* After an exec it is the new address space that counts, from the first request on. */
TEST_F(survivor, old_mm_lives_on)
{
	struct rig *rig = &self->rig;

	T1_IN_CHILD(t1_pair_alloc(&rig->pair);
		    start_living_on(rig);
		    t1_exec_self("--request", &rig->pair.c.fd, 1));
	EXPECT_STREQ("", t1_pair_not_back(&rig->pair));
	kill_and_wait(rig->shared->pid);
}

TEST_F(survivor, old_mm_lives_on_without_a_request)
{
	struct rig *rig = &self->rig;

	T1_IN_CHILD(t1_pair_alloc(&rig->pair);
		    start_living_on(rig);
		    t1_exec_self("--end", &rig->pair.c.fd, 1));
	EXPECT_STREQ("", t1_pair_not_owned(&rig->pair));
	EXPECT_EQ(8, ask(rig->shared));
	kill_and_wait(rig->shared->pid);
	EXPECT_STREQ("", t1_pair_not_back(&rig->pair));
}

/* A process is not dead while it has a thread. */
static void *outlive_leader(void *rig)
{
	t1_wait_leader_gone();
	live_on(rig);
	return NULL;
}

TEST_F(survivor, thread_lives_on)
{
	struct rig *rig = &self->rig;
	pthread_t thread;
	pid_t pid;

	pid = fork();
	if (!pid) {
		t1_pair_alloc(&rig->pair);
		T1_ASSERT(!pthread_create(&thread, NULL, outlive_leader, rig));
		syscall(SYS_exit, 0);
	}
	while (!__atomic_load_n(&rig->shared->pid, __ATOMIC_ACQUIRE))
		usleep(1000);
	EXPECT_STREQ("", t1_pair_not_owned(&rig->pair));
	EXPECT_EQ(8, ask(rig->shared));
	kill_and_wait(pid);
	EXPECT_STREQ("", t1_pair_not_back(&rig->pair));
}

/* This program, executed anew */

static int wait_for_the_end(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pause();
	return 1;
}

static int after_exec(int fd)
{
	struct t1_container c = { .fd = fd };

	T1_ASSERT(__t1_pasid_free(&c, 6, 6) == 1);
	T1_ASSERT(__t1_pasid_alloc(&c, 6, 6) == 6);
	return 0;
}

__attribute__((constructor)) static void check_for_exec(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--end"))
		_exit(0);
	if (argc == 3 && !strcmp(argv[1], "--request"))
		_exit(after_exec(atoi(argv[2])));
	if (argc == 3 && !strcmp(argv[1], "--wait"))
		_exit(wait_for_the_end());
}

TEST_HARNESS_MAIN
