// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every mapping of a BAR goes when the device's memory goes off: of any process
 * and any file, also after the mapping was moved, cut or inherited.
 *
 * Fails on stock 6.1:
 *  - every_process: fork() copies page table entries of a VMA that is not on the
 *    list of VMAs to zap, so the child goes on using memory that is off.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_fd.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_touch.h"

#define PAGE	4096UL

static void command_off(struct t1_device *dev)
{
	t1_set_memory(dev, false);
}

static void command_on(struct t1_device *dev)
{
	t1_set_memory(dev, true);
}

static void d3_off(struct t1_device *dev)
{
	t1_set_power_state(dev, PCI_PM_CTRL_STATE_MASK);
}

static void d3_on(struct t1_device *dev)
{
	t1_set_power_state(dev, 0);
	/* A soft reset may come with it. */
	t1_set_memory(dev, true);
}

static void low_power_off(struct t1_device *dev)
{
	T1_ASSERT_OK(__t1_feature(dev, VFIO_DEVICE_FEATURE_SET |
				  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY));
}

static void low_power_on(struct t1_device *dev)
{
	T1_ASSERT_OK(__t1_feature(dev, VFIO_DEVICE_FEATURE_SET |
				  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT));
}

static void ioctl_reset(struct t1_device *dev)
{
	T1_ASSERT_OK(__t1_reset(dev));
}

FIXTURE(zap) {
	struct t1_container container;
	struct t1_device dev;
};

/* A register (or RAM) at @reg of @bar reads back what was written. */
FIXTURE_VARIANT(zap) {
	enum t1_kind kind;
	int bar;
	__u64 reg;
	/* Turns memory off; with no @on to follow, off and on again. */
	void (*off)(struct t1_device *dev);
	void (*on)(struct t1_device *dev);
};

FIXTURE_VARIANT_ADD(zap, edu_command) {
	T1_EDU, 0, 0x80, command_off, command_on,
};

FIXTURE_VARIANT_ADD(zap, ivshmem_ram_command) {
	T1_IVSHMEM, 2, 0x7008, command_off, command_on,
};

FIXTURE_VARIANT_ADD(zap, ivshmem_ram_low_power) {
	T1_IVSHMEM, 2, 0x7008, low_power_off, low_power_on,
};

FIXTURE_VARIANT_ADD(zap, nvme_command) {
	T1_NVME, 0, 0x28, command_off, command_on,
};

FIXTURE_VARIANT_ADD(zap, nvme_ram_command) {
	T1_NVME, 2, 0x5000, command_off, command_on,
};

FIXTURE_VARIANT_ADD(zap, nvme_ram_flr) {
	T1_NVME, 2, 0x5000, t1_flr, NULL,
};

FIXTURE_VARIANT_ADD(zap, nvme_ram_reset) {
	T1_NVME, 2, 0x5000, ioctl_reset, NULL,
};

FIXTURE_VARIANT_ADD(zap, nvme_flr) {
	T1_NVME, 0, 0x28, t1_flr, NULL,
};

FIXTURE_VARIANT_ADD(zap, e1000e_command) {
	T1_E1000E, 0, 0x5200, command_off, command_on,
};

FIXTURE_VARIANT_ADD(zap, e1000e_d3) {
	T1_E1000E, 0, 0x5200, d3_off, d3_on,
};

FIXTURE_VARIANT_ADD(zap, e1000e_low_power) {
	T1_E1000E, 0, 0x5200, low_power_off, low_power_on,
};

FIXTURE_VARIANT_ADD(zap, e1000e_reset) {
	T1_E1000E, 0, 0x5200, ioctl_reset, NULL,
};

FIXTURE_SETUP(zap)
{
	const char *bdf = t1_require(variant->kind, 0);

	touch_init();
	t1_container_open(&self->container);
	t1_device_open(&self->dev, &self->container, bdf);
	if (t1_bar_size(&self->dev, variant->bar) <= variant->reg)
		T1_SKIP("%s has no such BAR %d (nvme: cmb_size_mb=16)", bdf, variant->bar);
	if (variant->off == low_power_off &&
	    __t1_feature(&self->dev, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
			 VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY))
		T1_SKIP("vfio-pci has no low power feature (disable_idle_d3=Y?)");
}

FIXTURE_TEARDOWN(zap)
{
	t1_device_close(&self->dev);
	t1_container_close(&self->container);
}

/* Ends with memory on. */
#define cycle(while_off) do {						\
	variant->off(&self->dev);					\
	if (variant->on) {						\
		while_off;						\
		variant->on(&self->dev);				\
	}								\
} while (0)

/* Where @reg shows through a mapping of file @fd of the device */
static void *map_reg(struct t1_device *dev, int fd, int bar, __u64 reg)
{
	char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 t1_bar_offset(dev, bar, reg & ~(PAGE - 1)));

	T1_ASSERT(map != MAP_FAILED);
	return map + reg % PAGE;
}

#define map_reg_of(fd) map_reg(&self->dev, fd, variant->bar, variant->reg)

TEST_F(zap, one_mapping)
{
	void *reg = map_reg_of(self->dev.fd);
	__u32 value;

	ASSERT_TRUE(touch_works(reg, 0x1234000));
	ASSERT_EQ(0, touch_faults(reg));
	cycle({
		EXPECT_FALSE(touch_read(reg, &value));
		EXPECT_FALSE(touch_write(reg, 0));
	});
	EXPECT_EQ(1, touch_faults(reg));
	EXPECT_EQ(0, touch_faults(reg));
	EXPECT_TRUE(touch_works(reg, 0x5678000));
}

/* Mappings that nobody touched yet are no different. */
TEST_F(zap, first_touch_while_off)
{
	void *reg;

	cycle({
		reg = map_reg_of(self->dev.fd);
		EXPECT_EQ(-1, touch_faults(reg));
	});
	reg = map_reg_of(self->dev.fd);
	EXPECT_EQ(1, touch_faults(reg));
	EXPECT_TRUE(touch_works(reg, 0x1234000));
}

/* Two files of a device, and a duplicate: one address space. */
TEST_F(zap, every_file)
{
	int second = t1_device_reopen(&self->dev);
	int copy = dup(self->dev.fd);
	void *regs[3];
	int i;

	ASSERT_LE(0, copy);
	regs[0] = map_reg_of(self->dev.fd);
	regs[1] = map_reg_of(second);
	regs[2] = map_reg_of(copy);
	/* A mapping holds its file, without any descriptor. */
	ASSERT_EQ(0, close(second));
	ASSERT_EQ(0, close(copy));
	for (i = 0; i < 3; i++)
		ASSERT_TRUE(touch_works(regs[i], 0x1111000 * (i + 1)));
	cycle({
		for (i = 0; i < 3; i++)
			EXPECT_EQ(-1, touch_faults(regs[i]));
	});
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(1, touch_faults(regs[i]));
		EXPECT_TRUE(touch_works(regs[i], 0x1111000 * (i + 1)));
	}
}

/* A child that has the mapping from fork(), and one that got only the file. */
TEST_F(zap, every_process)
{
	void *reg = map_reg_of(self->dev.fd);
	int inherits[2], passed[2], status;

	ASSERT_TRUE(touch_works(reg, 0x1234000));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, inherits));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, passed));
	if (!fork()) {
		close(inherits[0]);
		close(passed[0]);
		touch_serve(inherits[1], reg);
	}
	if (!fork()) {
		close(inherits[0]);
		close(passed[0]);
		munmap((char *)reg - variant->reg % PAGE, PAGE);
		close(self->dev.fd);
		touch_serve(passed[1], map_reg_of(t1_receive_fd(passed[1])));
	}
	t1_send_fd(passed[0], self->dev.fd);

	EXPECT_LE(0, touch_ask(inherits[0]));
	EXPECT_EQ(1, touch_ask(passed[0]));
	EXPECT_EQ(0, touch_ask(inherits[0]));
	EXPECT_EQ(0, touch_ask(passed[0]));
	cycle({
		EXPECT_EQ(-1, touch_faults(reg));
		EXPECT_EQ(-1, touch_ask(inherits[0]));
		EXPECT_EQ(-1, touch_ask(passed[0]));
	});
	EXPECT_EQ(1, touch_ask(passed[0]));
	EXPECT_EQ(1, touch_ask(inherits[0]));
	EXPECT_EQ(1, touch_faults(reg));
	EXPECT_TRUE(touch_works(reg, 0x5678000));

	close(inherits[0]);
	close(passed[0]);
	while (wait(&status) > 0)
		EXPECT_EQ(0, status);
}

FIXTURE(two_devices) {
	struct t1_container container;
	struct t1_device a, b;
};

FIXTURE_SETUP(two_devices)
{
	const char *a = t1_require(T1_IVSHMEM, 0), *b = t1_require(T1_IVSHMEM, 1);

	touch_init();
	t1_container_open(&self->container);
	t1_device_open(&self->a, &self->container, a);
	t1_device_open(&self->b, &self->container, b);
}

FIXTURE_TEARDOWN(two_devices)
{
	t1_device_close(&self->b);
	t1_device_close(&self->a);
	t1_container_close(&self->container);
}

TEST_F(two_devices, zap_leaves_the_other)
{
	void *a = t1_bar_mmap(&self->a, 2, 0, PAGE);
	void *b = t1_bar_mmap(&self->b, 2, 0, PAGE);

	ASSERT_TRUE(touch_works(a, 0xaaaa));
	ASSERT_TRUE(touch_works(b, 0xbbbb));
	command_off(&self->a);
	EXPECT_EQ(-1, touch_faults(a));
	EXPECT_EQ(0, touch_faults(b));
	EXPECT_TRUE(touch_works(b, 0xbbbc));
	command_on(&self->a);
	EXPECT_EQ(1, touch_faults(a));
	EXPECT_EQ(0, touch_faults(b));
}

/* BAR 0 and BAR 2 of a device share its address space, not their offsets. */
TEST_F(two_devices, zap_takes_every_bar)
{
	void *bar0 = t1_bar_mmap(&self->a, 0, 0, PAGE);
	void *bar2 = t1_bar_mmap(&self->a, 2, 0, PAGE);

	EXPECT_EQ(1, touch_faults(bar0));
	EXPECT_EQ(1, touch_faults(bar2));
	command_off(&self->a);
	EXPECT_EQ(-1, touch_faults(bar0));
	EXPECT_EQ(-1, touch_faults(bar2));
	command_on(&self->a);
	EXPECT_EQ(1, touch_faults(bar0));
	EXPECT_EQ(1, touch_faults(bar2));
	EXPECT_TRUE(touch_works(bar0, 0x11));
	EXPECT_TRUE(touch_works(bar2, 0x22));
}

TEST_HARNESS_MAIN
