// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thousand steps in random order, by several threads at once: map, unmap, memory
 * off and on, reset, close, reopen, attach and detach, while DMA runs. What a step
 * returns depends on the others, so hardly anything is checked on the way; that
 * the kernel reports nothing is the test, and that all is given back in the end.
 *
 * VFIO_TEST_SEED repeats the choices of a run, though not their timing.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_edu.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_touch.h"

#define STEPS	1000
#define WORKERS	3
#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL
#define SLOTS	16	/* IOVAs that are mapped and unmapped, 4 * SIZE each */
#define SLOT(n)	(IOVA + (n) * 4 * SIZE)
#define TARGETS	3

/* An edu and the container it is in, which it leaves now and then */
struct engine {
	pthread_mutex_t lock;	/* all but the container's file */
	const char *bdf;
	struct t1_container c;
	struct t1_device edu;
	void *bar0;
};

/* A target, which is closed and opened */
struct target {
	pthread_mutex_t lock;	/* all but the memory at @mem */
	const char *bdf;
	int bar;
	struct t1_container c;
	struct t1_device dev;
	void *mem;		/* in the area, see below */
};

static struct engine engines[2];
static struct target targets[TARGETS];
static char *area;	/* RAM, and between each two pieces of it a target's memory */
static unsigned int steps;
static const char *third;	/* a group that comes and goes */
static pthread_mutex_t third_lock = PTHREAD_MUTEX_INITIALIZER;

struct worker {
	pthread_t thread;
	unsigned int seed;
	unsigned int done;
};

static unsigned int choose(struct worker *w, unsigned int n)
{
	return rand_r(&w->seed) % n;
}

/* Where a target's memory was, there is RAM: DMA hits nothing else of ours. */
static void put_ram(void *addr, size_t size)
{
	T1_ASSERT(mmap(addr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
		       -1, 0) == addr);
}

static void target_open(struct target *t)
{
	int ret;

	t1_container_open(&t->c);
	/* A thread that maps its memory holds the device a moment longer. */
	do {
		ret = __t1_device_open(&t->dev, &t->c, t->bdf);
	} while (ret == -EBUSY && !usleep(100));
	T1_ASSERT_OK(ret);
	T1_ASSERT(mmap(t->mem, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, t->dev.fd,
		       t1_bar_offset(&t->dev, t->bar, 0)) == t->mem);
}

static void target_close(struct target *t)
{
	put_ram(t->mem, SIZE);
	t1_device_close(&t->dev);
	t1_container_close(&t->c);
}

static void engine_open(struct engine *e)
{
	t1_device_open(&e->edu, &e->c, e->bdf);
	e->bar0 = t1_bar_mmap(&e->edu, 0, 0, T1_EDU_BAR_SIZE);
}

static void engine_close(struct engine *e)
{
	munmap(e->bar0, T1_EDU_BAR_SIZE);
	t1_device_close(&e->edu);
}

/* The steps */

static void do_map(struct worker *w)
{
	unsigned int first = choose(w, 2 * TARGETS), last = first + choose(w, 4);
	size_t size = (last < 2 * TARGETS ? last - first + 1 : 1) * SIZE;
	struct engine *e = &engines[choose(w, 2)];
	int ret;

	ret = __t1_map(&e->c, area + first * SIZE, SLOT(choose(w, SLOTS)), size, T1_RW);
	/*
	 * Occupied; without memory, or the last group, or a VMA in exchange; and
	 * what is neither RAM nor a target's while it changes.
	 */
	T1_ASSERT(!ret || ret == -EEXIST || ret == -EFAULT || ret == -EINVAL || ret == -ENOTTY);
}

static void do_unmap(struct worker *w)
{
	struct engine *e = &engines[choose(w, 2)];
	int ret = __t1_unmap(&e->c, SLOT(choose(w, SLOTS)), 4 * SIZE, NULL);

	T1_ASSERT(!ret || ret == -EINVAL || ret == -ENOTTY);
}

static void do_unmap_all(struct worker *w)
{
	__t1_unmap_all(&engines[choose(w, 2)].c, NULL);
}

static void do_toggle(struct worker *w)
{
	struct target *t = &targets[choose(w, TARGETS)];

	pthread_mutex_lock(&t->lock);
	t1_set_memory(&t->dev, choose(w, 2));
	pthread_mutex_unlock(&t->lock);
}

/* Not of ivshmem, which has no reset; D3 as well, for that one takes long. */
static void do_reset(struct worker *w)
{
	struct target *t = &targets[TARGETS - 1];

	pthread_mutex_lock(&t->lock);
	if (choose(w, 4)) {
		t1_set_power_state(&t->dev, 3);
		t1_set_power_state(&t->dev, 0);
	} else {
		__t1_reset(&t->dev);
	}
	pthread_mutex_unlock(&t->lock);
}

static void do_reopen(struct worker *w)
{
	/* The last one's close is a reset of the bus: a second */
	struct target *t = &targets[choose(w, 8) ? choose(w, TARGETS - 1) : TARGETS - 1];

	pthread_mutex_lock(&t->lock);
	target_close(t);
	if (choose(w, 2))
		usleep(choose(w, 2000));
	target_open(t);
	pthread_mutex_unlock(&t->lock);
}

static void do_touch(struct worker *w)
{
	__u32 value;

	touch_read(area + choose(w, 2 * TARGETS + 1) * SIZE, &value);
}

/* A third group joins a container and leaves it. */
static void do_attach(struct worker *w)
{
	struct engine *e = &engines[choose(w, 2)];
	struct t1_group *group;

	if (!third || pthread_mutex_trylock(&third_lock))
		return;
	pthread_mutex_lock(&e->lock);
	if (!__t1_group_get(&e->c, t1_group_of(third), &group))
		t1_group_put(group);
	pthread_mutex_unlock(&e->lock);
	pthread_mutex_unlock(&third_lock);
}

/* The last group of a container leaves, and with it all mappings. */
static void do_detach(struct worker *w)
{
	struct engine *e = &engines[choose(w, 2)];

	pthread_mutex_lock(&e->lock);
	engine_close(e);
	engine_open(e);
	pthread_mutex_unlock(&e->lock);
}

static const struct {
	void (*step)(struct worker *w);
	unsigned int weight;
} choices[] = {
	{ do_map, 40 }, { do_unmap, 15 }, { do_unmap_all, 1 }, { do_toggle, 15 }, { do_reset, 2 },
	{ do_reopen, 8 }, { do_touch, 15 }, { do_attach, 3 }, { do_detach, 1 },
};

static void random_step(struct worker *w)
{
	unsigned int i, n = choose(w, 100);

	for (i = 0; n >= choices[i].weight; i++)
		n -= choices[i].weight;
	choices[i].step(w);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (__atomic_fetch_add(&steps, 1, __ATOMIC_RELAXED) < STEPS) {
		random_step(w);
		w->done++;
	}
	return NULL;
}

/* DMA goes to whatever is mapped at the moment, or nowhere. */
static void *run_dma(void *arg)
{
	unsigned int seed = 1;
	struct engine *e = arg;

	while (__atomic_load_n(&steps, __ATOMIC_RELAXED) < STEPS) {
		pthread_mutex_lock(&e->lock);
		__edu_dma_to(e->bar0, SLOT(rand_r(&seed) % SLOTS), 0, 64);
		pthread_mutex_unlock(&e->lock);
		/* Others want the lock, which is not fair. */
		usleep(20000);
	}
	return NULL;
}

static void open_all(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		pthread_mutex_init(&engines[i].lock, NULL);
		t1_container_open(&engines[i].c);
		engine_open(&engines[i]);
	}
	for (i = 0; i < TARGETS; i++) {
		pthread_mutex_init(&targets[i].lock, NULL);
		targets[i].mem = area + (2 * i + 1) * SIZE;
		target_open(&targets[i]);
	}
}

FIXTURE(peers) {
};

FIXTURE_SETUP(peers)
{
}

FIXTURE_TEARDOWN(peers)
{
}

TEST_F_TIMEOUT(peers, random_steps, 600)
{
	unsigned int i, avail, seed = t1_setting("VFIO_TEST_SEED", time(NULL));
	pthread_t dma[2];
	struct worker workers[WORKERS] = { };
	__u64 locked = t1_locked_kib();

	engines[0].bdf = t1_require(T1_EDU, 0);
	engines[1].bdf = t1_require(T1_EDU, 1);
	targets[0] = (struct target){ .bdf = t1_require(T1_IVSHMEM, 0), .bar = 2 };
	targets[1] = (struct target){ .bdf = t1_require(T1_IVSHMEM, 1), .bar = 2 };
	targets[2] = (struct target){ .bdf = t1_find_multi(T1_E1000E, 1, 0) };
	third = t1_find(T1_NVME, 0);
	if (!targets[2].bdf)
		SKIP(return, "no e1000e alone in its group: %s", t1_find_hint(T1_E1000E));
	TH_LOG("VFIO_TEST_SEED=%u", seed);
	touch_init();
	area = mmap(NULL, (2 * TARGETS + 1) * SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	open_all();
	avail = t1_dma_avail(&engines[0].c);

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&dma[i], NULL, run_dma, &engines[i]));
	for (i = 0; i < WORKERS; i++) {
		workers[i].seed = seed + i;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	for (i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	for (i = 0; i < 2; i++)
		pthread_join(dma[i], NULL);

	/* Without their targets, only mappings of RAM are left; then none is. */
	for (i = 0; i < TARGETS; i++)
		target_close(&targets[i]);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, __t1_unmap_all(&engines[i].c, NULL));
		EXPECT_EQ(avail, t1_dma_avail(&engines[i].c));
		engine_close(&engines[i]);
		t1_container_close(&engines[i].c);
	}
	EXPECT_EQ(locked, t1_locked_kib());
}

TEST_HARNESS_MAIN
