// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device is released while its mapping's container is busy: the translation
 * is cut, and the mapping waits to be reaped. The next task that gets the
 * container's lock reaps it first and never sees it. Without such a task, a
 * worker reaps it.
 *
 * The one that shall come next waits for the lock before the device is released,
 * so that it is there before the worker.
 *
 * Fails on stock 6.1: the mapping is never removed.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_stall.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL
#define TOTAL	(2 * SIZE)	/* RAM, then the BAR */

FIXTURE(reap) {
	struct t1_rig rig;
	struct t1_target target;
	char *area;
	struct t1_busy busy;
	__u64 locked;	/* memory, without the mapping */
};

/* Runs while the mapping waits to be reaped: what it saw, or -errno */
typedef long (*walk_fn)(struct t1_rig *rig);

FIXTURE_VARIANT(reap) {
	walk_fn walker;
	long result;
	bool takes_ram;	/* the rig's mapping as well */
};

static long walk_unmap(struct t1_rig *rig)
{
	__u64 size;
	int ret = __t1_unmap(&rig->c, IOVA, TOTAL, &size);

	return ret ? ret : (long)size;
}

static long walk_unmap_all(struct t1_rig *rig)
{
	__u64 size;
	int ret = __t1_unmap_all(&rig->c, &size);

	return ret ? ret : (long)size;
}

static long walk_map(struct t1_rig *rig)
{
	int ret = __t1_map(&rig->c, rig->ram, IOVA, SIZE, T1_RW);

	return ret ?: __t1_unmap(&rig->c, IOVA, SIZE, NULL);
}

static long walk_info(struct t1_rig *rig)
{
	return rig->avail - t1_dma_avail(&rig->c);
}

static long walk_attach(struct t1_rig *rig)
{
	struct t1_device more;
	int ret = __t1_device_open(&more, &rig->c, t1_find(T1_EDU, 1));

	if (ret)
		return ret;
	t1_device_close(&more);
	return 0;
}

static long walk_detach(struct t1_rig *rig)
{
	/* This, too, keeps the device open. */
	munmap(rig->bar0, T1_EDU_BAR_SIZE);
	t1_device_close(&rig->edu);
	return 0;
}

FIXTURE_VARIANT_ADD(reap, unmap) { .walker = walk_unmap };
FIXTURE_VARIANT_ADD(reap, unmap_all) {
	.walker = walk_unmap_all, .result = SIZE, .takes_ram = true,
};

FIXTURE_VARIANT_ADD(reap, map) { .walker = walk_map };
FIXTURE_VARIANT_ADD(reap, info) { .walker = walk_info, .result = 1 };
FIXTURE_VARIANT_ADD(reap, attach) { .walker = walk_attach };
FIXTURE_VARIANT_ADD(reap, detach) { .walker = walk_detach, .takes_ram = true };
FIXTURE_VARIANT_ADD(reap, worker) { .walker = NULL };

FIXTURE_SETUP(reap)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf = t1_require(T1_IVSHMEM, 0);

	t1_require(T1_EDU, 1);
	t1_rig_open(&self->rig, edu);
	self->locked = t1_locked_kib();
	t1_target_open(&self->target, bdf, 2, 0);
	self->area = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area);
	ASSERT_EQ(self->area + SIZE,
		  mmap(self->area + SIZE, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		       self->target.dev.fd, t1_bar_offset(&self->target.dev, 2, 0)));
	t1_map(&self->rig.c, self->area, IOVA, TOTAL, T1_RW);
}

FIXTURE_TEARDOWN(reap)
{
}

struct walk {
	walk_fn walker;
	struct t1_rig *rig;
	pid_t tid;
	long result;
};

static void *do_walk(void *arg)
{
	struct walk *walk = arg;

	__atomic_store_n(&walk->tid, gettid(), __ATOMIC_RELEASE);
	walk->result = walk->walker(walk->rig);
	return NULL;
}

/* Locked memory tells without an ioctl that the worker has been there. */
static bool locked_becomes(__u64 kib)
{
	int left = 5000;

	while (t1_locked_kib() != kib && left--)
		usleep(1000);
	return left > 0;
}

TEST_F(reap, next_holder)
{
	struct walk walk = { .walker = variant->walker, .rig = &self->rig };
	pthread_t thread;

	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA + SIZE, self->target.mem));
	if (__t1_busy_begin(&self->busy, &self->rig.c, T1_RIG_RAM, SIZE))
		SKIP(return, T1_STALL_HINT);
	if (walk.walker) {
		ASSERT_EQ(0, pthread_create(&thread, NULL, do_walk, &walk));
		t1_wait_blocked(&walk.tid);
	}
	munmap(self->area, TOTAL);
	t1_target_close(&self->target);
	EXPECT_EQ(self->locked + SIZE / 1024, t1_locked_kib());
	t1_busy_end(&self->busy);
	if (walk.walker)
		pthread_join(thread, NULL);
	EXPECT_EQ(variant->result, walk.result);

	EXPECT_TRUE(locked_becomes(self->locked - (variant->takes_ram ? SIZE / 1024 : 0)));
}

TEST_HARNESS_MAIN
