// SPDX-License-Identifier: GPL-2.0-only
/*
 * An owner is gone when its process is dead and nobody uses its address space. Then
 * its PASIDs come back by themselves, though others hold the files, devices have
 * stopped to use them, and its containers belong to nobody.
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
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_fd.h"
#include "../lib/type1_pair.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_stall.h"
#include "../lib/type1_vtest.h"

#define LAST	((1U << 20) - 1)
#define IOVA	0x1000000UL

static void *map_shared(void)
{
	void *page = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	T1_ASSERT(page != MAP_FAILED);
	return page;
}

/* How an owner comes to its end, at once */

static void end_exit(struct t1_container *c)
{
	_exit(0);
}

static void end_kill(struct t1_container *c)
{
	kill(getpid(), SIGKILL);
}

/* All that it may have */
static void end_with_many(struct t1_container *c)
{
	t1_pasid_alloc_all(c, 1, LAST);
	kill(getpid(), SIGKILL);
}

static void *wait_forever(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void end_with_threads(struct t1_container *c)
{
	pthread_t thread;

	for (int i = 0; i < 3; i++)
		T1_ASSERT(!pthread_create(&thread, NULL, wait_forever, NULL));
	kill(getpid(), SIGKILL);
}

/* It has replaced its address space, and asks for nothing, or for something. */
static void end_exec(struct t1_container *c)
{
	t1_exec_self("--end", &c->fd, 1);
}

static void end_exec_and_request(struct t1_container *c)
{
	t1_exec_self("--request", &c->fd, 1);
}

static int after_exec(int fd)
{
	struct t1_container c = { .fd = fd };

	T1_ASSERT(__t1_pasid_free(&c, 6, 6) == 1);
	T1_ASSERT(__t1_pasid_alloc(&c, 6, 6) == 6);
	return 0;
}

FIXTURE(death) {
	struct t1_pair pair;
};

FIXTURE_VARIANT(death) {
	void (*end)(struct t1_container *c);
};

FIXTURE_VARIANT_ADD(death, exit) { .end = end_exit };
FIXTURE_VARIANT_ADD(death, kill) { .end = end_kill };
FIXTURE_VARIANT_ADD(death, with_many) { .end = end_with_many };
FIXTURE_VARIANT_ADD(death, with_threads) { .end = end_with_threads };
FIXTURE_VARIANT_ADD(death, exec) { .end = end_exec };
FIXTURE_VARIANT_ADD(death, exec_and_request) { .end = end_exec_and_request };

FIXTURE_SETUP(death)
{
	t1_require_pair();
	t1_pair_open(&self->pair);
}

FIXTURE_TEARDOWN(death)
{
	t1_pair_close(&self->pair);
}

/* Nobody has waited for the process yet: it need not be gone, only dead. */
TEST_F(death, gives_all_back)
{
	siginfo_t info;
	pid_t pid;

	pid = fork();
	if (!pid) {
		t1_pair_alloc(&self->pair);
		variant->end(&self->pair.c);
	}
	ASSERT_EQ(0, waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	EXPECT_STREQ("", t1_pair_not_back(&self->pair));
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
}

/* One way to end, and what else there is; or no end yet */
FIXTURE(owner) {
	struct t1_pair pair;
};

FIXTURE_SETUP(owner)
{
	t1_require_pair();
	t1_pair_open(&self->pair);
}

FIXTURE_TEARDOWN(owner)
{
	t1_pair_close(&self->pair);
}

/* Who wants to be the next one is refused, and then has the container with nothing in it. */
TEST_F(owner, next_one_waits)
{
	struct t1_container *c = &self->pair.c;
	unsigned int quota = t1_pasids_per_group();
	pid_t *pid = map_shared();
	int i;

	for (i = 0; i < 10; i++) {
		*pid = 0;
		if (!fork()) {
			T1_ASSERT(t1_pasid_alloc_all(c, 1, LAST) == quota);
			__atomic_store_n(pid, getpid(), __ATOMIC_RELEASE);
			kill(getpid(), SIGKILL);
		}
		while (!__atomic_load_n(pid, __ATOMIC_ACQUIRE))
			sched_yield();
		T1_IN_CHILD(T1_ASSERT(t1_pasid_alloc_soon(c, 5, 5) == 5);
			    T1_ASSERT(t1_told(c, "vfio-pasids") == 1);
			    T1_ASSERT(t1_pasid_alloc_all(c, 1, LAST) == quota - 1);
			    T1_ASSERT(__t1_pasid_free(c, 1, LAST) == (int)quota));
		ASSERT_EQ(*pid, waitpid(*pid, NULL, 0));
		ASSERT_EQ(0, t1_pasids_left(c));
	}
	munmap(pid, T1_PAGE);
}

/* Two containers, more PASIDs in one of them than its group allows: both are as new ones. */
TEST_F(owner, two_containers)
{
	struct t1_pair *pair = &self->pair;
	unsigned int quota = t1_pasids_per_group();

	T1_IN_CHILD(t1_pasid_alloc(&pair->other, 5, 5);
		    T1_ASSERT(t1_pasid_alloc_all(&pair->c, 1, LAST) == 2 * quota - 1));
	EXPECT_EQ(0, t1_pasids_left(&pair->c));
	EXPECT_EQ(0, t1_pasids_left(&pair->other));
	EXPECT_EQ(5, t1_pasid_alloc_soon(&pair->c, 5, 5));
	EXPECT_EQ(quota - 1, t1_pasid_alloc_all(&pair->c, 1, LAST));
	EXPECT_EQ(LAST, t1_pasid_alloc_soon(&pair->other, LAST, LAST));
	EXPECT_EQ(2 * quota, t1_pasid_info(&pair->c).quota);
	EXPECT_EQ(quota - 1, t1_pasid_alloc_all(&pair->other, 1, LAST));
	EXPECT_EQ(2 * quota, __t1_pasid_free(&pair->c, 1, LAST));
}

/* May the device use the PASID? */
static int try_access(struct t1_vtest *dev, __u32 pasid)
{
	return t1_job(dev, pasid, VFIO_TEST_WRITE, IOVA, sizeof(__u32));
}

/* Nor does a device go on using the PASIDs, whosever it is. */
TEST_F(owner, device_stops)
{
	struct t1_pair *pair = &self->pair;
	void *ram = map_shared();

	t1_map(&pair->c, ram, IOVA, T1_PAGE, T1_RW);
	T1_IN_CHILD(t1_pair_alloc(pair);
		    t1_pasid_attach(&pair->dev, 5, -1);
		    T1_ASSERT(try_access(&pair->dev, 5) == VFIO_TEST_DONE));
	EXPECT_EQ(0, t1_pasids_left(&pair->c));
	EXPECT_EQ(8, t1_pasid_alloc_soon(&pair->c, 8, 8));
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(&pair->dev, 5));
	EXPECT_EQ(0, t1_pasid_next(&pair->dev, 0));
	EXPECT_EQ(5, t1_pasid_alloc_soon(&pair->c, 5, 5));
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(&pair->dev, 5));
	t1_pasid_attach(&pair->dev, 5, -1);
	EXPECT_EQ(VFIO_TEST_DONE, try_access(&pair->dev, 5));
	t1_unmap(&pair->c, IOVA, T1_PAGE);
	munmap(ram, T1_PAGE);
}

/* A device that is held up is broken off: nobody waits for who holds it up. */
TEST_F(owner, device_is_busy)
{
	struct t1_pair *pair = &self->pair;
	void *ram = map_shared();
	struct t1_busy busy;
	bool is_busy;
	pid_t pid;

	t1_map(&pair->c, ram, IOVA, T1_PAGE, T1_RW);
	pid = fork();
	if (!pid) {
		t1_pair_alloc(pair);
		t1_pasid_attach(&pair->dev, 5, -1);
		kill(getpid(), SIGSTOP);
	}
	ASSERT_EQ(pid, waitpid(pid, NULL, WUNTRACED));
	is_busy = !__t1_busy_begin(&busy, &pair->c, IOVA, T1_PAGE);
	if (is_busy) {
		EXPECT_EQ(0, __t1_job_start(&pair->dev, 5, VFIO_TEST_WRITE, IOVA, 8));
		EXPECT_EQ(VFIO_TEST_RUNNING, t1_job_leaves(&pair->dev, VFIO_TEST_QUEUED));
	}
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	if (!is_busy)
		SKIP(return, T1_STALL_HINT);
	EXPECT_EQ(5, t1_pasid_alloc_soon(&pair->other, 5, 5));
	EXPECT_EQ(VFIO_TEST_NO_MEMORY, t1_job_wait(&pair->dev));
	EXPECT_EQ(8, t1_pasid_alloc_soon(&pair->c, 8, 8));
	t1_busy_end(&busy);
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(&pair->dev, 5));
	munmap(ram, T1_PAGE);
}

__attribute__((constructor)) static void check_for_exec(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--end"))
		_exit(0);
	if (argc == 3 && !strcmp(argv[1], "--request"))
		_exit(after_exec(atoi(argv[2])));
}

TEST_HARNESS_MAIN
