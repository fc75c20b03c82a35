// SPDX-License-Identifier: GPL-2.0-only
/*
 * On each path by which a device's user turns its memory off or resets it, the
 * IOMMU has no translation to the memory while it is off, and has it again
 * afterwards. What QEMU emulates drops DMA to memory that is off in any case, so
 * that DMA could not tell; root can look into the IOMMU's tables and at the
 * tracepoints. Others see that DMA arrives again.
 *
 * Fails on stock 6.1, for root: the translation stays.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_iommu.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_touch.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL
#define COUNT	2	/* mappings of the target: both go and come */
#define REG	0x200	/* at 0x5000 in e1000e's BAR: keeps what is written */

FIXTURE(reset) {
	struct t1_rig rig;
	struct t1_target target;
	bool tracing;
};

/* How memory goes off, and on again; what happens in between, if it stays off */
FIXTURE_VARIANT(reset) {
	enum t1_kind kind;
	int functions;
	int bar;
	bool d1d2;	/* needs both */
	__u64 page, reg;	/* reads back what was written */
	void (*off)(struct t1_device *dev);
	void (*on)(struct t1_device *dev);
};

static void command_off(struct t1_device *dev)
{
	t1_set_memory(dev, false);
}

static void command_on(struct t1_device *dev)
{
	t1_set_memory(dev, true);
}

static void enter_d1(struct t1_device *dev)
{
	t1_set_power_state(dev, 1);
}

static void enter_d2(struct t1_device *dev)
{
	t1_set_power_state(dev, 2);
}

static void enter_d3(struct t1_device *dev)
{
	t1_set_power_state(dev, 3);
}

static void enter_d0(struct t1_device *dev)
{
	t1_set_power_state(dev, 0);
	command_on(dev);
}

static void enter_low_power(struct t1_device *dev)
{
	T1_ASSERT_OK(__t1_feature(dev, VFIO_DEVICE_FEATURE_SET |
				  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY));
}

static void leave_low_power(struct t1_device *dev)
{
	T1_ASSERT_OK(__t1_feature(dev, VFIO_DEVICE_FEATURE_SET |
				  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT));
}

static void device_reset(struct t1_device *dev)
{
	T1_ASSERT_OK(__t1_reset(dev));
}

static void hot_reset(struct t1_device *dev)
{
	T1_ASSERT_OK(__t1_hot_reset(dev, &dev->group->fd, 1));
}

#define IVSHMEM	.kind = T1_IVSHMEM, .bar = 2
#define E1000E	.kind = T1_E1000E, .functions = 1, .page = 0x5000, .reg = REG
#define NVME	.kind = T1_NVME, .bar = 2, .page = 0x1000

FIXTURE_VARIANT_ADD(reset, command) { IVSHMEM, .off = command_off, .on = command_on };
FIXTURE_VARIANT_ADD(reset, d1) { E1000E, .d1d2 = true, .off = enter_d1, .on = enter_d0 };
FIXTURE_VARIANT_ADD(reset, d2) { E1000E, .d1d2 = true, .off = enter_d2, .on = enter_d0 };
FIXTURE_VARIANT_ADD(reset, d3) { E1000E, .off = enter_d3, .on = enter_d0 };
FIXTURE_VARIANT_ADD(reset, low_power) { E1000E, .off = enter_low_power, .on = leave_low_power };
FIXTURE_VARIANT_ADD(reset, flr) { NVME, .off = t1_flr };
FIXTURE_VARIANT_ADD(reset, ioctl_flr) { NVME, .off = device_reset };
FIXTURE_VARIANT_ADD(reset, ioctl_bus) { E1000E, .off = device_reset };
FIXTURE_VARIANT_ADD(reset, hot) { E1000E, .off = hot_reset };

FIXTURE_SETUP(reset)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf;
	int i, ret;

	bdf = t1_find_multi(variant->kind, variant->functions, 0);
	if (!bdf)
		T1_SKIP("%s", t1_find_hint(variant->kind));
	ret = variant->d1d2 ? __t1_write_file(T1_D1D2, bdf) : 0;
	if (ret)
		T1_SKIP("no D1 and D2: %s: %s", strerror(-ret), T1_D1D2_HINT);
	self->tracing = !t1_trace_start("vfio_peer");
	t1_rig_open(&self->rig, edu);
	t1_target_open(&self->target, bdf, variant->bar, variant->page);
	for (i = 0; i < COUNT; i++)
		t1_map(&self->rig.c, self->target.mem, IOVA + i * SIZE, SIZE, T1_RW);
	if (self->tracing)
		t1_trace_clear();
}

FIXTURE_TEARDOWN(reset)
{
	int i;

	for (i = 0; i < COUNT; i++)
		t1_unmap(&self->rig.c, IOVA + i * SIZE, SIZE);
	t1_target_close(&self->target);
	t1_rig_close(&self->rig);
}

#define expect_events(what) do {					\
	char __got[16];						\
	int __i;							\
									\
	for (__i = 0; self->tracing && __i < COUNT; __i++) {	\
		t1_trace_read(IOVA + __i * SIZE, __got, sizeof(__got)); \
		EXPECT_STREQ(what, __got);				\
	}								\
} while (0)

#define expect_translates(yes, reg) do {				\
	int __i;							\
									\
	for (__i = 0; __i < COUNT; __i++)				\
		EXPECT_EQ(yes, t1_rig_translates(&self->rig, IOVA + __i * SIZE + (reg))); \
} while (0)

#define expect_arrives() do {						\
	int __i;							\
									\
	for (__i = 0; __i < COUNT; __i++)				\
		EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA + __i * SIZE + variant->reg, \
					   self->target.mem + variant->reg / 4)); \
} while (0)

TEST_F(reset, off_and_on)
{
	struct t1_device *dev = &self->target.dev;

	__u32 value;

	expect_arrives();
	expect_translates(true, variant->reg);
	expect_events("");
	variant->off(dev);
	if (variant->on) {
		expect_events("s");
		expect_translates(false, variant->reg);
		EXPECT_FALSE(touch_read(self->target.mem + variant->reg / 4, &value));
		variant->on(dev);
	}
	expect_events("sr");
	expect_translates(true, variant->reg);
	expect_arrives();
}

/* Off by one way and by another: it takes both to come back. */
TEST_F(reset, while_off)
{
	struct t1_device *dev = &self->target.dev;

	command_off(dev);
	variant->off(dev);
	expect_translates(false, variant->reg);
	if (variant->on && variant->on != command_on) {
		variant->on(dev);
		command_off(dev);
		expect_translates(false, variant->reg);
	}
	command_on(dev);
	expect_translates(true, variant->reg);
	expect_arrives();
}

/* Released while off: it does not come back with the memory. */
TEST_F(reset, release_while_off)
{
	struct t1_device *dev = &self->target.dev;
	int i;

	variant->off(dev);
	t1_target_close(&self->target);
	t1_target_open(&self->target, t1_find_multi(variant->kind, variant->functions, 0),
		       variant->bar, variant->page);
	expect_translates(false, variant->reg);
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(&self->rig.c));
	for (i = 0; i < COUNT; i++)
		t1_map(&self->rig.c, self->target.mem, IOVA + i * SIZE, SIZE, T1_RW);
	expect_arrives();
}

/* Two functions of a slot, reset together or not at all */
FIXTURE(hot_reset) {
	struct t1_rig rig;
	struct t1_target target[2];
	bool tracing;
};

FIXTURE_SETUP(hot_reset)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf;
	int i;

	self->tracing = !t1_trace_start("vfio_peer");
	t1_rig_open(&self->rig, edu);
	t1_container_open(&self->target[0].c);
	for (i = 0; i < 2; i++) {
		bdf = t1_find_multi(T1_E1000E, 2, i);
		if (!bdf)
			T1_SKIP("no group with 2 of it: %s", t1_find_hint(T1_E1000E));
		/* One group is in one container. */
		t1_device_open(&self->target[i].dev, &self->target[0].c, bdf);
		self->target[i].mem = t1_bar_mmap(&self->target[i].dev, 0, 0x5000, SIZE);
		t1_map(&self->rig.c, self->target[i].mem, IOVA + i * SIZE, SIZE, T1_RW);
	}
	if (self->tracing)
		t1_trace_clear();
}

FIXTURE_TEARDOWN(hot_reset)
{
	int i;

	for (i = 0; i < 2; i++) {
		t1_unmap(&self->rig.c, IOVA + i * SIZE, SIZE);
		t1_device_close(&self->target[i].dev);
	}
	t1_container_close(&self->target[0].c);
	t1_rig_close(&self->rig);
}

static int reset_both(struct t1_target *target)
{
	return __t1_hot_reset(&target->dev, &target->dev.group->fd, 1);
}

TEST_F(hot_reset, both)
{
	ASSERT_EQ(0, reset_both(&self->target[0]));
	expect_events("sr");
	expect_translates(true, REG);
}

/* Refused: nobody's group, and some other device's */
TEST_F(hot_reset, refused)
{
	struct t1_device *dev = &self->target[0].dev;

	EXPECT_EQ(-EINVAL, __t1_hot_reset(dev, &self->rig.edu.group->fd, 1));
	EXPECT_EQ(-EBADF, __t1_hot_reset(dev, (int[]) { -1 }, 1));
	expect_events("");
	expect_translates(true, REG);
}

struct toggler {
	struct t1_device *dev;
	bool stop;
};

static void *toggle_memory(void *arg)
{
	struct toggler *toggler = arg;

	while (!__atomic_load_n(&toggler->stop, __ATOMIC_RELAXED)) {
		command_off(toggler->dev);
		command_on(toggler->dev);
	}
	return NULL;
}

/* EBUSY because of one function's lock leaves the other one as it was. */
TEST_F(hot_reset, backs_out)
{
	struct toggler toggler = { .dev = &self->target[1].dev };
	int ret, done = 0, busy = 0;
	pthread_t thread;
	time_t end;

	ASSERT_EQ(0, pthread_create(&thread, NULL, toggle_memory, &toggler));
	for (end = time(NULL) + 2; time(NULL) < end;) {
		ret = reset_both(&self->target[0]);
		ASSERT_TRUE(!ret || ret == -EBUSY);
		ret ? busy++ : done++;
	}
	__atomic_store_n(&toggler.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	TH_LOG("%d resets, %d times busy", done, busy);
	expect_translates(true, REG);
	ASSERT_EQ(0, reset_both(&self->target[1]));
	expect_translates(true, REG);
}

TEST_HARNESS_MAIN
