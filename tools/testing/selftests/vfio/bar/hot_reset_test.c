// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_DEVICE_PCI_HOT_RESET of a lone function and of two functions of a slot,
 * with mappings open. A refused reset changes nothing.
 *
 * These pass on stock 6.1: they guard the way several devices are locked.
 *
 * QEMU's root ports need x-speed=2_5: at more, Linux waits for a link that an
 * emulated device never trains, and calls the reset failed (ENOTTY).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_touch.h"

#define PAGE		4096UL
#define MAX_FUNCTIONS	2
#define SECONDS		3

FIXTURE(hot_reset) {
	struct t1_container container;
	struct t1_device devs[MAX_FUNCTIONS];
	void *maps[MAX_FUNCTIONS];
	int group_fd;
	struct t1_container other_container;
	struct t1_group *other;
};

FIXTURE_VARIANT(hot_reset) {
	enum t1_kind kind;
	int functions;
	int bar;
	__u64 reg;	/* reads back what was written */
};

FIXTURE_VARIANT_ADD(hot_reset, nvme) {
	.kind = T1_NVME, .functions = 1, .bar = 2, .reg = 0x1000,
};

FIXTURE_VARIANT_ADD(hot_reset, e1000e) {
	.kind = T1_E1000E, .functions = 1, .bar = 0, .reg = 0x5200,
};

FIXTURE_VARIANT_ADD(hot_reset, two_e1000es) {
	.kind = T1_E1000E, .functions = 2, .bar = 0, .reg = 0x5200,
};

FIXTURE_SETUP(hot_reset)
{
	const char *other = t1_require(T1_EDU, 0), *bdf;
	int i;

	touch_init();
	for (i = 0; i < variant->functions; i++) {
		bdf = t1_find_multi(variant->kind, variant->functions, i);
		if (!bdf)
			T1_SKIP("no group with %d of it: %s", variant->functions,
				t1_find_hint(variant->kind));
		if (!i)
			t1_container_open(&self->container);
		t1_device_open(&self->devs[i], &self->container, bdf);
		if (t1_bar_size(&self->devs[i], variant->bar) <= variant->reg)
			T1_SKIP("%s has no such BAR %d (cmb_size_mb=16)", bdf, variant->bar);
		self->maps[i] = (char *)t1_bar_mmap(&self->devs[i], variant->bar,
						    variant->reg & ~(PAGE - 1), PAGE) +
				variant->reg % PAGE;
		ASSERT_TRUE(touch_works(self->maps[i], 0x1000 + i));
	}
	self->group_fd = self->devs[0].group->fd;
	/* Any group that the reset does not concern */
	t1_container_open(&self->other_container);
	T1_ASSERT_OK(__t1_group_get(&self->other_container, t1_group_of(other), &self->other));
}

FIXTURE_TEARDOWN(hot_reset)
{
	int i;

	for (i = 0; i < variant->functions; i++)
		t1_device_close(&self->devs[i]);
	t1_container_close(&self->container);
	t1_group_put(self->other);
	t1_container_close(&self->other_container);
}

#define all_work(self, value) ({					\
	bool __ok = true;						\
	int __i;							\
									\
	for (__i = 0; __i < variant->functions; __i++)			\
		__ok &= touch_works((self)->maps[__i], (value) + __i);	\
	__ok;								\
})

TEST_F(hot_reset, zaps)
{
	int i, round;

	for (round = 0; round < 3; round++) {
		/* Whichever function it is asked of */
		ASSERT_EQ(0, __t1_hot_reset(&self->devs[round % variant->functions],
					    &self->group_fd, 1));
		for (i = 0; i < variant->functions; i++)
			EXPECT_EQ(1, touch_faults(self->maps[i]));
		EXPECT_TRUE(all_work(self, 0x1100 * round));
	}
}

/* The reset itself must bring a function with its memory off to no harm. */
TEST_F(hot_reset, memory_off)
{
	t1_set_memory(&self->devs[0], false);
	ASSERT_EQ(0, __t1_hot_reset(&self->devs[0], &self->group_fd, 1));
	EXPECT_EQ(-1, touch_faults(self->maps[0]));
	t1_set_memory(&self->devs[0], true);
	EXPECT_TRUE(all_work(self, 0x1300));
}

TEST_F(hot_reset, info)
{
	struct {
		struct vfio_pci_hot_reset_info info;
		struct vfio_pci_dependent_device devices[MAX_FUNCTIONS];
	} arg = { .info.argsz = sizeof(arg) };
	unsigned int i;

	ASSERT_EQ(0, ioctl(self->devs[0].fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg));
	ASSERT_EQ((__u32)variant->functions, arg.info.count);
	for (i = 0; i < arg.info.count; i++)
		EXPECT_EQ((__u32)self->devs[0].group->id, arg.devices[i].group_id);
}

TEST_F(hot_reset, refused)
{
	int fds[MAX_FUNCTIONS + 2];
	struct vfio_pci_hot_reset bad = { .argsz = sizeof(bad) };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = self->group_fd;
	/* another device's group; not a group; none; more than devices; closed */
	EXPECT_EQ(-EINVAL, __t1_hot_reset(&self->devs[0], &self->other->fd, 1));
	EXPECT_EQ(-EINVAL, __t1_hot_reset(&self->devs[0], &self->devs[0].fd, 1));
	EXPECT_EQ(-EINVAL, __t1_hot_reset(&self->devs[0], fds, 0));
	EXPECT_EQ(-EINVAL, __t1_hot_reset(&self->devs[0], fds, ARRAY_SIZE(fds)));
	fds[0] = -1;
	EXPECT_EQ(-EBADF, __t1_hot_reset(&self->devs[0], fds, 1));
	EXPECT_EQ(-1, ioctl(self->devs[0].fd, VFIO_DEVICE_PCI_HOT_RESET, NULL));
	EXPECT_EQ(EFAULT, errno);
	bad.flags = 1;
	EXPECT_EQ(-1, ioctl(self->devs[0].fd, VFIO_DEVICE_PCI_HOT_RESET, &bad));
	EXPECT_EQ(EINVAL, errno);
	bad.flags = 0;
	bad.argsz--;
	EXPECT_EQ(-1, ioctl(self->devs[0].fd, VFIO_DEVICE_PCI_HOT_RESET, &bad));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(all_work(self, 0x1200));
}

TEST_F(hot_reset, refusal_keeps_mappings)
{
	int i;

	ASSERT_EQ(-EINVAL, __t1_hot_reset(&self->devs[0], &self->other->fd, 1));
	for (i = 0; i < variant->functions; i++)
		EXPECT_EQ(0, touch_faults(self->maps[i]));
}

struct noise {
	struct t1_device *dev;
	void *map;
	bool stop;
};

static bool stopped(struct noise *noise)
{
	return __atomic_load_n(&noise->stop, __ATOMIC_RELAXED);
}

static void *make_faults(void *arg)
{
	struct noise *noise = arg;
	__u32 value;

	while (!stopped(noise))
		touch_read(noise->map, &value);
	return NULL;
}

static void *make_config_writes(void *arg)
{
	struct noise *noise = arg;

	while (!stopped(noise)) {
		t1_set_memory(noise->dev, false);
		t1_set_memory(noise->dev, true);
	}
	return NULL;
}

/*
 * Locks of many devices are tried, not waited for: EBUSY, with all of them
 * given back, or the next attempt and the faults would hang.
 */
TEST_F(hot_reset, contention)
{
	struct noise noise[MAX_FUNCTIONS] = {};
	pthread_t threads[2 * MAX_FUNCTIONS];
	int i, ret, done = 0, busy = 0, other = 0;
	time_t end;

	for (i = 0; i < variant->functions; i++) {
		noise[i].dev = &self->devs[i];
		noise[i].map = self->maps[i];
		ASSERT_EQ(0, pthread_create(&threads[2 * i], NULL, make_faults, &noise[i]));
		ASSERT_EQ(0, pthread_create(&threads[2 * i + 1], NULL, make_config_writes,
					    &noise[i]));
	}
	for (end = time(NULL) + SECONDS; time(NULL) < end;) {
		ret = __t1_hot_reset(&self->devs[0], &self->group_fd, 1);
		if (!ret)
			done++;
		else if (ret == -EBUSY)
			busy++;
		else
			other = ret;
	}
	for (i = 0; i < variant->functions; i++) {
		__atomic_store_n(&noise[i].stop, true, __ATOMIC_RELAXED);
		ASSERT_EQ(0, pthread_join(threads[2 * i], NULL));
		ASSERT_EQ(0, pthread_join(threads[2 * i + 1], NULL));
	}
	TH_LOG("%d resets, %d times busy", done, busy);
	EXPECT_EQ(0, other);

	for (i = 0; i < variant->functions; i++)
		t1_set_memory(&self->devs[i], true);
	EXPECT_EQ(0, __t1_hot_reset(&self->devs[0], &self->group_fd, 1));
	for (i = 0; i < variant->functions; i++)
		t1_set_memory(&self->devs[i], true);
	EXPECT_TRUE(all_work(self, 0x1400));
}

TEST_HARNESS_MAIN
