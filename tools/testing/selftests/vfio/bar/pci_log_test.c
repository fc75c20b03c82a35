// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations that a user can repeat without limit do not fill the log.
 *
 * Fails on stock 6.1: each time prints a line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"

#define TIMES	100
/* The kernel lets 10 lines in 5 seconds through; this allows for a slow machine. */
#define LIMITED	30

FIXTURE(log) {
	struct t1_container c;
	struct t1_device dev;
	int kmsg;
};

/* How many lines have been printed since the last call that have @text in them */
static unsigned int lines(int kmsg, const char *text)
{
	unsigned int count = 0;
	char line[2048];
	ssize_t size;

	while ((size = read(kmsg, line, sizeof(line) - 1)) > 0) {
		line[size] = 0;
		count += !!strstr(line, text);
	}
	/* EPIPE: lines were lost, so there were far too many of them */
	T1_ASSERT(errno == EAGAIN);
	return count;
}

FIXTURE_SETUP(log)
{
	const char *bdf = t1_require(T1_E1000E, 0);

	self->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (self->kmsg < 0 || lseek(self->kmsg, 0, SEEK_END))
		T1_SKIP("the log cannot be read: sysctl kernel.dmesg_restrict=0");
	t1_container_open(&self->c);
	t1_device_open(&self->dev, &self->c, bdf);
	lines(self->kmsg, "");
}

FIXTURE_TEARDOWN(log)
{
	t1_device_close(&self->dev);
	t1_container_close(&self->c);
	close(self->kmsg);
}

/* Root can tell that lines are seen at all. */
TEST_F(log, is_read)
{
	if (__t1_write_file("/dev/kmsg", "pci_log_test: a line\n"))
		SKIP(return, "the log cannot be written: run as root");
	EXPECT_EQ(1, lines(self->kmsg, "pci_log_test: a line\n"));
}

/* With memory off, all of it reads as ones. */
TEST_F(log, rom)
{
	struct vfio_region_info *rom = &self->dev.regions[VFIO_PCI_ROM_REGION_INDEX];
	__u32 word;
	int i;

	if (!rom->size)
		SKIP(return, "the device has no ROM: give QEMU's e1000e a romfile=");
	t1_set_memory(&self->dev, false);
	for (i = 0; i < TIMES; i++)
		pread(self->dev.fd, &word, sizeof(word), rom->offset);
	t1_set_memory(&self->dev, true);
	EXPECT_GT(LIMITED, lines(self->kmsg, "PCI ROM"));
}

TEST_F(log, one_eventfd_for_two_interrupts)
{
	int fd = eventfd(0, EFD_CLOEXEC), fds[] = { fd, fd }, i;

	ASSERT_LE(0, fd);
	for (i = 0; i < TIMES; i++) {
		ASSERT_EQ(0, __t1_trigger(&self->dev, VFIO_PCI_MSIX_IRQ_INDEX,
					  VFIO_IRQ_SET_DATA_EVENTFD, 2, fds));
		ASSERT_EQ(0, __t1_trigger(&self->dev, VFIO_PCI_MSIX_IRQ_INDEX,
					  VFIO_IRQ_SET_DATA_NONE, 0, NULL));
	}
	close(fd);
	EXPECT_EQ(0, lines(self->kmsg, "irq bypass"));
}

/* A device's firmware can lose BARs whenever its user says so. Here, root does it. */
static int lose_bar(const char *bdf)
{
	char path[64];
	__u32 zero = 0;
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = pwrite(fd, &zero, sizeof(zero), PCI_BASE_ADDRESS_0) == sizeof(zero) ? 0 : -EIO;
	close(fd);
	return ret;
}

TEST_F(log, restored_bars)
{
	__u32 word;
	int i;

	for (i = 0; i < TIMES; i++) {
		t1_set_memory(&self->dev, false);
		if (lose_bar(self->dev.bdf))
			SKIP(return, "the BARs cannot be changed: run as root");
		t1_set_memory(&self->dev, true);
		ASSERT_EQ(sizeof(word), pread(self->dev.fd, &word, sizeof(word),
					      t1_bar_offset(&self->dev, 0, 8)));
		/* STATUS of the e1000e: ones are read where there is no BAR. */
		ASSERT_NE(~0U, word);
	}
	EXPECT_EQ(0, lines(self->kmsg, "restoring BARs"));
}

TEST_HARNESS_MAIN
