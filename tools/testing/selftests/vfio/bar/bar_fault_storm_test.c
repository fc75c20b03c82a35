// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults, zaps and changes of the address space all at once, in two processes:
 * every access either sees the right data or raises SIGBUS, and afterwards all
 * works. What else may go wrong shows in the kernel log (lockdep, KASAN).
 *
 * Fails on stock 6.1: mappings that were inherited or moved escape the zap and
 * read what a device returns while its memory is off.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_bench.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_touch.h"

#define PAGE		4096UL
#define PAGES		2048UL
#define SIZE		(PAGES * PAGE)
#define SECONDS		5
#define TOUCHERS	3
/* Neither what a read from nowhere returns, nor close to a page number. */
#define TOKEN(page)	(0x51a70000U + (__u32)(page))

struct storm {
	struct t1_device *dev;
	char *map;
	__u64 end;	/* by t1_now() */
};

static bool goes_on(struct storm *storm)
{
	return t1_now() < storm->end;
}

static void check(const char *map, unsigned long first, unsigned long page)
{
	__u32 value;

	if (touch_read(map + (page - first) * PAGE, &value))
		T1_ASSERT(value == TOKEN(page));
}

static void *touch(void *arg)
{
	struct storm *storm = arg;
	unsigned int seed = (unsigned long)&seed, i;

	while (goes_on(storm))
		for (i = 0; i < 100; i++)
			check(storm->map, 0, rand_r(&seed) % PAGES);
	return NULL;
}

/* Mappings that come, get a hole, are moved, and go while they are faulted in. */
static void *remap(void *arg)
{
	struct storm *storm = arg;
	unsigned int seed = (unsigned long)&seed;
	unsigned long first, count, i;
	char *map, *moved;

	while (goes_on(storm)) {
		first = rand_r(&seed) % (PAGES - 64);
		count = 16 + rand_r(&seed) % 48;
		map = t1_bar_mmap(storm->dev, 2, first * PAGE, count * PAGE);
		for (i = 0; i < count; i += 5)
			check(map, first, first + i);
		T1_ASSERT(!munmap(map + 4 * PAGE, 2 * PAGE));
		moved = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		T1_ASSERT(moved != MAP_FAILED);
		T1_ASSERT(mremap(map, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				 moved) == moved);
		for (i = 0; i < 4; i++)
			check(moved, first, first + i);
		check(map, first, first + count - 1);
		T1_ASSERT(!munmap(moved, 4 * PAGE));
		T1_ASSERT(!munmap(map + 6 * PAGE, (count - 6) * PAGE));
	}
	return NULL;
}

static void *fork_off(void *arg)
{
	struct storm *storm = arg;
	unsigned long page;
	int status;
	pid_t pid;

	while (goes_on(storm)) {
		pid = fork();
		T1_ASSERT(pid >= 0);
		if (!pid) {
			for (page = 0; page < PAGES; page += 97)
				check(storm->map, 0, page);
			_exit(0);
		}
		T1_ASSERT(waitpid(pid, &status, 0) == pid && !status);
	}
	return NULL;
}

static void start(pthread_t *thread, void *(*fn)(void *arg), struct storm *storm)
{
	T1_ASSERT(!pthread_create(thread, NULL, fn, storm));
}

/* Runs until @storm->end in the calling process. */
static void blow(struct storm *storm)
{
	pthread_t threads[TOUCHERS + 2];
	int i;

	for (i = 0; i < TOUCHERS; i++)
		start(&threads[i], touch, storm);
	start(&threads[i++], remap, storm);
	start(&threads[i++], fork_off, storm);
	while (i--)
		T1_ASSERT(!pthread_join(threads[i], NULL));
}

static void *toggle_command(void *arg)
{
	const struct timespec pause = { .tv_nsec = 500000 };
	struct storm *storm = arg;
	long cycles = 0;

	for (; goes_on(storm); cycles++) {
		t1_set_memory(storm->dev, false);
		nanosleep(&pause, NULL);
		t1_set_memory(storm->dev, true);
		nanosleep(&pause, NULL);
	}
	return (void *)cycles;
}

/* nvme keeps its RAM over a reset, and the reset ends with memory on. */
static void *toggle_reset(void *arg)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	struct storm *storm = arg;
	long cycles = 0;
	int ret;

	for (; goes_on(storm); cycles++) {
		ret = __t1_reset(storm->dev);
		T1_ASSERT(!ret || ret == -EAGAIN);
		nanosleep(&pause, NULL);
	}
	return (void *)cycles;
}

FIXTURE(storm) {
	struct t1_container container;
	struct t1_device dev;
	char *map;
};

FIXTURE_VARIANT(storm) {
	enum t1_kind kind;
	void *(*toggle)(void *arg);
};

FIXTURE_VARIANT_ADD(storm, command) {
	.kind = T1_IVSHMEM,
	.toggle = toggle_command,
};

FIXTURE_VARIANT_ADD(storm, reset) {
	.kind = T1_NVME,
	.toggle = toggle_reset,
};

FIXTURE_SETUP(storm)
{
	const char *bdf = t1_require(variant->kind, 0);
	unsigned long page;

	touch_init();
	t1_container_open(&self->container);
	t1_device_open(&self->dev, &self->container, bdf);
	if (t1_bar_size(&self->dev, 2) < SIZE)
		T1_SKIP("BAR 2 of %s has less than %lu MiB", bdf, SIZE >> 20);
	self->map = t1_bar_mmap(&self->dev, 2, 0, SIZE);
	for (page = 0; page < PAGES; page++)
		ASSERT_TRUE(touch_write(self->map + page * PAGE, TOKEN(page)));
}

FIXTURE_TEARDOWN(storm)
{
	t1_device_close(&self->dev);
	t1_container_close(&self->container);
}

TEST_F(storm, access_is_right_or_sigbus)
{
	struct storm storm = { &self->dev, self->map, t1_now() + SECONDS * 1000000000ULL };
	unsigned long page;
	pthread_t toggler;
	void *cycles;
	__u32 value;
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		blow(&storm);
		_exit(0);
	}
	start(&toggler, variant->toggle, &storm);
	blow(&storm);
	ASSERT_EQ(0, pthread_join(toggler, &cycles));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	TH_LOG("%ld cycles", (long)cycles);
	EXPECT_LT(0, (long)cycles);

	for (page = 0; page < PAGES; page++) {
		ASSERT_TRUE(touch_read(self->map + page * PAGE, &value));
		ASSERT_EQ(TOKEN(page), value);
	}
}

TEST_HARNESS_MAIN
