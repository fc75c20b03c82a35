// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an ioeventfd writes, and when: not while the device's memory is off, and not
 * in low power, from which it cannot wake the device.
 *
 * Fails on stock 6.1, which writes in low power.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"

#define DATA	0x5a

FIXTURE(ioeventfd) {
	struct t1_container c;
	struct t1_device dev;
	int fd;
};

/* A register that keeps what is written to it, and how it is accessed */
FIXTURE_VARIANT(ioeventfd) {
	enum t1_kind kind;
	int functions;
	int bar;
	__u64 reg;
	__u32 flags;
	int size;
	__u16 command;	/* what turns the BAR off */
};

#define IVSHMEM(bits) { \
	.kind = T1_IVSHMEM, .bar = 2, .reg = 0x80, .size = (bits) / 8, \
	.flags = VFIO_DEVICE_IOEVENTFD_ ## bits, .command = PCI_COMMAND_MEMORY, \
}

FIXTURE_VARIANT_ADD(ioeventfd, memory_8) IVSHMEM(8);
FIXTURE_VARIANT_ADD(ioeventfd, memory_16) IVSHMEM(16);
FIXTURE_VARIANT_ADD(ioeventfd, memory_32) IVSHMEM(32);
FIXTURE_VARIANT_ADD(ioeventfd, memory_64) IVSHMEM(64);
/* The address of the register that another one reads and writes */
FIXTURE_VARIANT_ADD(ioeventfd, port) {
	.kind = T1_E1000E, .functions = 1, .bar = 2, .reg = 0, .size = 4,
	.flags = VFIO_DEVICE_IOEVENTFD_32, .command = PCI_COMMAND_IO,
};

static __u64 reg_read(struct t1_device *dev, int bar, __u64 reg, int size)
{
	__u64 value = 0;

	T1_ASSERT(pread(dev->fd, &value, size, t1_bar_offset(dev, bar, reg)) == size);
	return value;
}

static void reg_clear(struct t1_device *dev, int bar, __u64 reg, int size)
{
	__u64 zero = 0;

	T1_ASSERT(pwrite(dev->fd, &zero, size, t1_bar_offset(dev, bar, reg)) == size);
}

static int __ioeventfd(struct t1_device *dev, int bar, __u64 reg, __u32 flags, int fd)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.offset = t1_bar_offset(dev, bar, reg),
		.data = DATA,
		.fd = fd,
	};

	return ioctl(dev->fd, VFIO_DEVICE_IOEVENTFD, &arg) ? -errno : 0;
}

static bool signal_fd(int fd)
{
	__u64 one = 1;

	return write(fd, &one, sizeof(one)) == sizeof(one);
}

#define value() reg_read(&self->dev, variant->bar, variant->reg, variant->size)
#define clear() reg_clear(&self->dev, variant->bar, variant->reg, variant->size)

FIXTURE_SETUP(ioeventfd)
{
	const char *bdf = t1_find_multi(variant->kind, variant->functions, 0);

	if (!bdf)
		T1_SKIP("%s", t1_find_hint(variant->kind));
	t1_container_open(&self->c);
	t1_device_open(&self->dev, &self->c, bdf);
	t1_set_command(&self->dev, PCI_COMMAND_IO, true);
	ASSERT_LE(variant->reg + variant->size, t1_bar_size(&self->dev, variant->bar));
	self->fd = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, __ioeventfd(&self->dev, variant->bar, variant->reg, variant->flags, self->fd));
	clear();
}

FIXTURE_TEARDOWN(ioeventfd)
{
	EXPECT_EQ(0, __ioeventfd(&self->dev, variant->bar, variant->reg, variant->flags, -1));
	close(self->fd);
	t1_device_close(&self->dev);
	t1_container_close(&self->c);
}

/* When nothing else uses the device, write() to the eventfd returns after the write. */
TEST_F(ioeventfd, writes)
{
	ASSERT_TRUE(signal_fd(self->fd));
	EXPECT_EQ(DATA, value());
	clear();
	EXPECT_EQ(0, value());
	ASSERT_TRUE(signal_fd(self->fd));
	EXPECT_EQ(DATA, value());
}

TEST_F(ioeventfd, off)
{
	t1_set_command(&self->dev, variant->command, false);
	ASSERT_TRUE(signal_fd(self->fd));
	t1_set_command(&self->dev, variant->command, true);
	EXPECT_EQ(0, value());
	ASSERT_TRUE(signal_fd(self->fd));
	EXPECT_EQ(DATA, value());
}

/* The first read wakes the device; low power ends with the exit only. */
TEST_F(ioeventfd, low_power)
{
	if (__t1_feature(&self->dev, VFIO_DEVICE_FEATURE_SET |
			 VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY))
		SKIP(return, "vfio-pci has no low power feature (disable_idle_d3=Y?)");
	ASSERT_TRUE(signal_fd(self->fd));
	EXPECT_EQ(0, value());
	ASSERT_TRUE(signal_fd(self->fd));
	EXPECT_EQ(0, value());
	ASSERT_EQ(0, __t1_feature(&self->dev, VFIO_DEVICE_FEATURE_SET |
				  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT));
	EXPECT_EQ(0, value());
	ASSERT_TRUE(signal_fd(self->fd));
	EXPECT_EQ(DATA, value());
}

TEST_HARNESS_MAIN
