// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads allocate PASIDs, attach them to spaces, let devices use them, detach and
 * free them, in random order, while others reset the devices, remap the memory, hold
 * the lock of a space and replace its file. Each thread has PASIDs of its own, so it
 * knows what has to come of each call. Children try to do the same, and are refused.
 * The seed is printed; VFIO_TEST_SEED replays it, as far as threads can be replayed,
 * and VFIO_TEST_SECONDS changes the time (20).
 *
 * Fails on stock 6.1: there are no PASIDs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_file.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_stall.h"
#include "../lib/type1_vtest.h"

#define WORKERS	3
#define PASIDS	8	/* of each worker */
#define DEVICES	2
#define SPACES	4	/* the first is the container's own */
#define PAGES	8
#define SIZE	(PAGES * T1_PAGE)
#define IOVA	0x1000000UL

struct shared {
	struct t1_container c;
	struct t1_container spaces[SPACES];
	struct t1_vtest dev[DEVICES];
	__u32 *mem[DEVICES];
	pthread_mutex_t job[DEVICES];	/* one job at a time */
	__u32 *ram;	/* the number of the space, in each page */
	bool stop;
};

struct worker {
	struct shared *shared;
	pthread_t thread;
	__u32 base;
	unsigned int seed;
	unsigned long steps;
	bool allocated[PASIDS];
	/* That a device's PASID is attached to, or -1 */
	int space[PASIDS][DEVICES];
};

static void step_query(struct worker *w, unsigned int i, int d)
{
	__u32 found = t1_pasid_next(&w->shared->dev[d], w->base + i);

	if (w->space[i][d] < 0)
		T1_ASSERT(!found || found > w->base + i);
	else
		T1_ASSERT(found == w->base + i);
}

static void step_alloc(struct worker *w, unsigned int i)
{
	int ret = __t1_pasid_alloc(&w->shared->c, w->base + i, w->base + i);

	T1_ASSERT(ret == (w->allocated[i] ? -ENOSPC : (int)(w->base + i)));
	w->allocated[i] = true;
}

static void step_free(struct worker *w, unsigned int i)
{
	int ret = __t1_pasid_free(&w->shared->c, w->base + i, w->base + i);

	T1_ASSERT(ret == (w->allocated[i] ? 1 : -ENOENT));
	/* Devices stop soon; and have stopped when they are asked. */
	for (int d = 0; d < DEVICES; d++)
		w->space[i][d] = -1, step_query(w, i, d);
	w->allocated[i] = false;
}

static void step_attach(struct worker *w, unsigned int i, int d)
{
	int n = rand_r(&w->seed) % SPACES;
	int ret = __t1_pasid_attach(&w->shared->dev[d], w->base + i,
				    n ? w->shared->spaces[n].fd : -1);

	if (w->space[i][d] >= 0) {
		T1_ASSERT(ret == -EBUSY);
	} else if (!w->allocated[i]) {
		T1_ASSERT(ret == -ENOENT);
	} else {
		T1_ASSERT(!ret);
		w->space[i][d] = n;
	}
}

static void step_detach(struct worker *w, unsigned int i, int d)
{
	int ret = __t1_pasid_detach(&w->shared->dev[d], w->base + i);

	T1_ASSERT(ret == (w->space[i][d] >= 0 ? 0 : -ENOENT));
	w->space[i][d] = -1;
}

static void step_access(struct worker *w, unsigned int i, int d)
{
	int page = rand_r(&w->seed) % PAGES, status;
	__u32 found;

	pthread_mutex_lock(&w->shared->job[d]);
	status = t1_job(&w->shared->dev[d], w->base + i, VFIO_TEST_READ, IOVA + page * T1_PAGE, 4);
	found = *w->shared->mem[d];
	pthread_mutex_unlock(&w->shared->job[d]);

	if (w->space[i][d] < 0)
		T1_ASSERT(status == VFIO_TEST_NO_PASID);
	else if (status == VFIO_TEST_DONE)
		T1_ASSERT(found == (__u32)w->space[i][d]);
	else	/* others unmap memory and reset the device */
		T1_ASSERT(status == VFIO_TEST_NO_MEMORY);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (; !__atomic_load_n(&w->shared->stop, __ATOMIC_RELAXED); w->steps++) {
		unsigned int i = rand_r(&w->seed) % PASIDS;
		int d = rand_r(&w->seed) % DEVICES;

		switch (rand_r(&w->seed) % 8) {
		case 0: case 1:
			step_alloc(w, i);
			break;
		case 2:
			step_free(w, i);
			break;
		case 3:
			step_attach(w, i, d);
			break;
		case 4:
			step_detach(w, i, d);
			break;
		case 5:
			step_query(w, i, d);
			break;
		default:
			step_access(w, i, d);
		}
	}
	return NULL;
}

/* A child has the files and is not the owner. */
static void be_refused(struct shared *s, int d)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		T1_ASSERT(__t1_pasid_alloc(&s->c, 1, WORKERS * PASIDS) == -EPERM);
		T1_ASSERT(__t1_pasid_free(&s->c, 1, WORKERS * PASIDS) == -EPERM);
		T1_ASSERT(__t1_pasid_attach(&s->dev[d], WORKERS * PASIDS + 1, -1) == -EPERM);
		_exit(0);
	}
	T1_ASSERT(waitpid(pid, &status, 0) == pid && !status);
}

static void map_space(struct shared *s, int n)
{
	t1_map(&s->spaces[n], s->ram + n * SIZE / sizeof(*s->ram), IOVA, SIZE, T1_RW);
}

static void hold_lock(struct t1_container *space, unsigned int *seed)
{
	struct t1_busy busy;

	if (__t1_busy_begin(&busy, space, IOVA, SIZE))
		return;
	usleep(rand_r(seed) % 10000);
	t1_busy_end(&busy);
	T1_ASSERT_OK(__t1_dirty_pages(space, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, 0, 0, NULL));
}

/* Gets in the way of all others */
static void disturb(struct shared *s, unsigned int *seed)
{
	int d = rand_r(seed) % DEVICES;
	int n = rand_r(seed) % SPACES;
	struct t1_container space;

	switch (rand_r(seed) % 5) {
	case 0:
		T1_ASSERT(!ioctl(s->dev[d].fd, VFIO_DEVICE_RESET));
		break;
	case 1:
		t1_unmap(&s->spaces[n], IOVA, SIZE);
		map_space(s, n);
		break;
	case 2:
		if (!n || __t1_space_create(&s->c, &space))
			break;	/* as many as there can be: PASIDs keep old ones */
		/* PASIDs of the old one see the same memory as those of the new one */
		t1_map(&space, s->ram + n * SIZE / sizeof(*s->ram), IOVA, SIZE, T1_RW);
		T1_ASSERT(dup3(space.fd, s->spaces[n].fd, O_CLOEXEC) == s->spaces[n].fd);
		close(space.fd);
		break;
	case 3:
		be_refused(s, d);
		break;
	default:
		hold_lock(&s->spaces[n], seed);
	}
	usleep(rand_r(seed) % 20000);
}

static void open_shared(struct shared *s)
{
	int i;

	t1_container_open(&s->c);
	for (int d = 0; d < DEVICES; d++) {
		t1_vtest_open(&s->dev[d], &s->c, t1_vtest_find(d));
		s->mem[d] = t1_vtest_mmap(&s->dev[d], T1_PAGE);
		pthread_mutex_init(&s->job[d], NULL);
	}
	s->ram = mmap(NULL, SPACES * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	T1_ASSERT(s->ram != MAP_FAILED);
	for (i = 0; i < SPACES * PAGES; i++)
		s->ram[i * T1_PAGE / sizeof(*s->ram)] = i / PAGES;
	for (i = 1; i < SPACES; i++)
		t1_space_create(&s->c, &s->spaces[i]);
	/* The container's file is not what names its own space, but maps in it. */
	s->spaces[0] = s->c;
	for (i = 0; i < SPACES; i++)
		map_space(s, i);
	/* The container is this process' from the start. */
	t1_pasid_alloc(&s->c, WORKERS * PASIDS + 1, WORKERS * PASIDS + 1);
}

static void close_shared(struct shared *s)
{
	for (int i = 1; i < SPACES; i++)
		close(s->spaces[i].fd);
	for (int d = 0; d < DEVICES; d++) {
		munmap(s->mem[d], T1_PAGE);
		t1_vtest_close(&s->dev[d]);
	}
	t1_container_close(&s->c);
	munmap(s->ram, SPACES * SIZE);
}

FIXTURE(pasids) {
	unsigned int seconds;
};

FIXTURE_SETUP(pasids)
{
	if (!t1_vtest_find(DEVICES - 1))
		T1_SKIP("%s", T1_VTEST_HINT);
	self->seconds = t1_setting("VFIO_TEST_SECONDS", 20);
}

FIXTURE_TEARDOWN(pasids)
{
}

TEST_F_TIMEOUT(pasids, random, 3600)
{
	unsigned int seed = t1_setting("VFIO_TEST_SEED", time(NULL));
	struct worker workers[WORKERS] = {};
	struct shared s = {};
	unsigned long steps = 0;
	unsigned int i, j;
	time_t end;

	TH_LOG("VFIO_TEST_SEED=%u", seed);
	open_shared(&s);
	for (i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker) {
			.shared = &s,
			.base = 1 + i * PASIDS,
			.seed = seed + i,
		};
		for (j = 0; j < PASIDS * DEVICES; j++)
			workers[i].space[j / DEVICES][j % DEVICES] = -1;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	for (end = time(NULL) + self->seconds; time(NULL) < end;)
		disturb(&s, &seed);
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < WORKERS; i++) {
		ASSERT_EQ(0, pthread_join(workers[i].thread, NULL));
		steps += workers[i].steps;
	}
	TH_LOG("%lu steps", steps);
	EXPECT_LT(100, steps);
	close_shared(&s);

	/* Everything is free again, memory included. */
	open_shared(&s);
	for (i = 1; i <= WORKERS * PASIDS; i++)
		EXPECT_EQ(i, __t1_pasid_alloc(&s.c, i, i));
	close_shared(&s);
	EXPECT_EQ(0, t1_locked_kib());
}

TEST_HARNESS_MAIN
