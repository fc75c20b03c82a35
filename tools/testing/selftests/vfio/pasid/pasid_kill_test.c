// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners that are killed at any moment: with files in any state, with hundreds of
 * PASIDs that devices use, while others have the files as well.
 *
 * Fails on stock 6.1: there are no PASIDs.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_pair.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_vtest.h"

#define LAST	((1U << 20) - 1)
#define IN_USE	300	/* PASIDs, of each device */

FIXTURE(kill) {
	struct t1_pair pair;
	unsigned int *steps;
};

FIXTURE_SETUP(kill)
{
	t1_require_pair();
	t1_pair_open(&self->pair);
	self->steps = mmap(NULL, sizeof(*self->steps), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->steps);
}

/* Nothing is lost: all numbers that tests use are there again. */
FIXTURE_TEARDOWN(kill)
{
	int i;

	t1_vtest_close(&self->pair.dev);
	t1_container_close(&self->pair.c);
	for (i = 1; i <= 2 * IN_USE; i++)
		if (t1_pasid_alloc_soon(&self->pair.other, i, i) != i)
			break;
	EXPECT_EQ(2 * IN_USE + 1, i);
	t1_vtest_close(&self->pair.other_dev);
	t1_container_close(&self->pair.other);
	munmap(self->steps, sizeof(*self->steps));
}

static void step(unsigned int *steps)
{
	__atomic_add_fetch(steps, 1, __ATOMIC_RELAXED);
}

/* Kill a process when it has done so many steps; it does them until then. */
static void kill_after(pid_t pid, unsigned int *steps, unsigned int end)
{
	const struct timespec wait = { .tv_nsec = 20000 };
	int status;

	T1_ASSERT(pid > 0);
	while (__atomic_load_n(steps, __ATOMIC_RELAXED) < end) {
		T1_ASSERT(!waitpid(pid, &status, WNOHANG));
		nanosleep(&wait, NULL);
	}
	T1_ASSERT(!kill(pid, SIGKILL));
	T1_ASSERT(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
}

/* What a victim does: containers of its own */
static void allocate_forever(int group_id, unsigned int *steps)
{
	struct t1_container c;
	struct t1_group *group;

	for (;;) {
		t1_container_open(&c);
		T1_ASSERT_OK(__t1_group_get(&c, group_id, &group));
		for (int i = 1; i <= 100; i++) {
			t1_pasid_alloc(&c, 1, 100);
			step(steps);
		}
		T1_ASSERT(__t1_pasid_free(&c, 20, 30) == 11);
		if (rand() & 1)
			t1_group_put(group), close(c.fd);
		else
			close(c.fd), t1_group_put(group);
	}
}

TEST_F(kill, with_its_files)
{
	int i, group_id = self->pair.dev.group->id;
	pid_t pid;

	t1_vtest_close(&self->pair.dev);
	for (i = 0; i < 100; i++) {
		*self->steps = 0;
		pid = fork();
		if (!pid) {
			srand(i);
			allocate_forever(group_id, self->steps);
		}
		kill_after(pid, self->steps, 1 + rand() % 250);
	}
	t1_vtest_open(&self->pair.dev, &self->pair.c, t1_vtest_find(0));
	EXPECT_EQ(0, t1_told(&self->pair.c, "vfio-pasids"));
}

/* Both devices use all numbers, some of them; with PASIDs of either container. */
static void use_forever(struct t1_pair *pair, unsigned int *steps)
{
	struct t1_vtest *devs[] = { &pair->dev, &pair->other_dev };
	struct t1_container *cs[] = { &pair->c, &pair->other };
	unsigned int i;

	/* The containers may still be a moment away from having no owner. */
	for (i = 1; i <= 2 * IN_USE; i++)
		T1_ASSERT(t1_pasid_alloc_soon(cs[i % 2], i, i) == (int)i);
	for (i = 1; i <= 2 * IN_USE; i++) {
		t1_pasid_attach(devs[i % 2], i, -1);
		if (i % 3)
			t1_pasid_attach(devs[!(i % 2)], i, -1);
		step(steps);
	}
	for (;;) {
		i = 1 + rand() % (2 * IN_USE);
		T1_ASSERT(__t1_pasid_free(cs[rand() % 2], i, i) == 1);
		t1_pasid_alloc_soon(cs[rand() % 2], i, i);
		T1_ASSERT_OK(__t1_pasid_attach(devs[rand() % 2], i, -1));
		step(steps);
	}
}

/* Nothing of what it had is left, though all files are open here. */
TEST_F(kill, while_devices_use_them)
{
	struct t1_pair *pair = &self->pair;
	pid_t pid;
	int i;

	for (i = 0; i < 20; i++) {
		*self->steps = 0;
		pid = fork();
		if (!pid) {
			srand(i);
			use_forever(pair, self->steps);
		}
		kill_after(pid, self->steps, 1 + rand() % (2 * IN_USE + 200));
		ASSERT_EQ(0, t1_pasids_left(&pair->c));
		ASSERT_EQ(0, t1_pasids_left(&pair->other));
		EXPECT_EQ(0, t1_pasid_next(&pair->dev, 0));
		EXPECT_EQ(0, t1_pasid_next(&pair->other_dev, 0));
		EXPECT_EQ(-EPERM, __t1_pasid_free(&pair->c, 1, LAST));
	}
}

TEST_HARNESS_MAIN
