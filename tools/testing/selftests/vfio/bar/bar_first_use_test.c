// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two threads use a BAR for the first time, at the same moment: both succeed.
 *
 * Fails on stock 6.1: now and then one of them gets EBUSY.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_bench.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"

#define SECONDS	10
#define BARS	6

/* What a thread does to each BAR, as soon as the other one has come so far, too */
struct user {
	struct t1_device *dev;
	bool mmap;
	unsigned int *arrived;
	unsigned int failures;
};

static bool usable(struct t1_device *dev, int bar)
{
	return dev->regions[bar].flags & VFIO_REGION_INFO_FLAG_MMAP;
}

static int use(struct user *user, int bar)
{
	__u32 word;
	void *addr;
	int ret;

	if (!user->mmap)
		return pread(user->dev->fd, &word, sizeof(word),
			     t1_bar_offset(user->dev, bar, 0)) == sizeof(word) ? 0 : -errno;
	ret = __t1_bar_mmap(user->dev, bar, 0, T1_PAGE, &addr);
	if (!ret)
		munmap(addr, T1_PAGE);
	return ret;
}

static void *use_all(void *data)
{
	struct user *user = data;
	unsigned int both = 0;
	int bar;

	for (bar = 0; bar < BARS; bar++) {
		if (!usable(user->dev, bar))
			continue;
		both += 2;
		__atomic_add_fetch(user->arrived, 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(user->arrived, __ATOMIC_SEQ_CST) < both)
			sched_yield();
		if (use(user, bar))
			user->failures++;
	}
	return NULL;
}

FIXTURE(first_use) {
	struct t1_container c;
};

FIXTURE_VARIANT(first_use) {
	bool mmap[2];
};

FIXTURE_VARIANT_ADD(first_use, reads) { .mmap = { false, false } };
FIXTURE_VARIANT_ADD(first_use, read_and_mmap) { .mmap = { false, true } };

FIXTURE_SETUP(first_use)
{
	t1_container_open(&self->c);
}

FIXTURE_TEARDOWN(first_use)
{
	t1_container_close(&self->c);
}

TEST_F(first_use, both_succeed)
{
	const char *bdf = t1_require(T1_E1000E, 0);
	__u64 end = t1_now() + SECONDS * 1000000000ULL;
	unsigned int arrived, failures = 0;
	struct user users[2];
	struct t1_device dev;
	pthread_t thread;
	int n;

	while (!failures && t1_now() < end) {
		t1_device_open(&dev, &self->c, bdf);
		ASSERT_TRUE(usable(&dev, 0));
		t1_set_memory(&dev, true);
		arrived = 0;
		for (n = 0; n < 2; n++)
			users[n] = (struct user){ .dev = &dev, .mmap = variant->mmap[n],
						  .arrived = &arrived };
		ASSERT_EQ(0, pthread_create(&thread, NULL, use_all, &users[0]));
		use_all(&users[1]);
		pthread_join(thread, NULL);
		failures += users[0].failures + users[1].failures;
		t1_device_close(&dev);
	}
	EXPECT_EQ(0, failures);
}

TEST_HARNESS_MAIN
