// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that a device without hardware has pinned, in a mapping that has device
 * memory as well: when the mapping goes, because it is unmapped or because that
 * memory's device is released, the pins have to go first.
 *
 * The release fails on stock 6.1: the mapping stays.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_log.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_vtest.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL
#define TOTAL	(3 * SIZE)	/* RAM, a BAR, RAM */
#define PAGE_KIB	4

FIXTURE(pins) {
	struct t1_container c;
	struct t1_vtest dev;
	struct t1_device edu;
	struct t1_target target;
	char *area;
	unsigned int avail;
	__u64 locked;	/* without pins */
};

FIXTURE_VARIANT(pins) {
	bool iommu;	/* in the container there is a device with an IOMMU, too */
};

FIXTURE_VARIANT_ADD(pins, alone) { .iommu = false };
FIXTURE_VARIANT_ADD(pins, with_iommu) { .iommu = true };

FIXTURE_SETUP(pins)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf = t1_require(T1_IVSHMEM, 0);
	const char *name = t1_vtest_find(0);

	if (!name)
		T1_SKIP("%s", T1_VTEST_HINT);
	t1_container_open(&self->c);
	t1_vtest_open(&self->dev, &self->c, name);
	if (variant->iommu)
		t1_device_open(&self->edu, &self->c, edu);
	t1_target_open(&self->target, bdf, 2, 0);
	self->avail = t1_dma_avail(&self->c);

	self->area = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area);
	ASSERT_EQ(self->area + SIZE,
		  mmap(self->area + SIZE, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		       self->target.dev.fd, t1_bar_offset(&self->target.dev, 2, 0)));
	t1_map(&self->c, self->area, IOVA, TOTAL, T1_RW);
	self->locked = t1_locked_kib();
}

FIXTURE_TEARDOWN(pins)
{
	EXPECT_EQ(self->avail, t1_dma_avail(&self->c));
	EXPECT_EQ(VFIO_TEST_NO_PIN,
		  t1_job(&self->dev, 0, VFIO_TEST_UNPIN, IOVA, T1_PAGE));
	/* The RAM was locked for the IOMMU, if there is one; pins came on top otherwise. */
	EXPECT_EQ(self->locked - (variant->iommu ? 2 * SIZE / 1024 : 0), t1_locked_kib());
	munmap(self->area, TOTAL);
	if (variant->iommu)
		t1_device_close(&self->edu);
	t1_vtest_close(&self->dev);
	t1_container_close(&self->c);
}

static int pin(struct t1_vtest *dev, __u64 offset)
{
	return t1_job(dev, 0, VFIO_TEST_PIN, IOVA + offset, T1_PAGE);
}

static __u64 pinned_kib(bool iommu, unsigned int pages)
{
	return iommu ? 0 : pages * PAGE_KIB;
}

static void close_target(struct t1_target *target, char *area)
{
	munmap(area + SIZE, SIZE);
	t1_target_close(target);
}

TEST_F(pins, unmap)
{
	struct t1_vtest *dev = &self->dev;

	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, 0));
	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, TOTAL - T1_PAGE));
	EXPECT_EQ(VFIO_TEST_NO_MEMORY, pin(dev, SIZE));	/* has no pages */
	EXPECT_EQ(self->locked + pinned_kib(variant->iommu, 2), t1_locked_kib());
	EXPECT_EQ(VFIO_TEST_DONE,
		  t1_job(dev, 0, VFIO_TEST_UNPIN, IOVA, T1_PAGE));
	EXPECT_EQ(self->locked + pinned_kib(variant->iommu, 1), t1_locked_kib());
	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, 0));
	t1_unmap(&self->c, IOVA, TOTAL);
	close_target(&self->target, self->area);
}

/* What the user puts in place of device memory, and has pinned, counts like the rest. */
TEST_F(pins, in_place_of_device_memory)
{
	struct t1_vtest *dev = &self->dev;
	struct rlimit before, none;

	ASSERT_EQ(self->area + SIZE,
		  mmap(self->area + SIZE, SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, -1, 0));
	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, SIZE));
	EXPECT_EQ(self->locked + PAGE_KIB, t1_locked_kib());
	EXPECT_EQ(VFIO_TEST_DONE,
		  t1_job(dev, 0, VFIO_TEST_UNPIN, IOVA + SIZE, T1_PAGE));
	EXPECT_EQ(self->locked, t1_locked_kib());

	if (geteuid()) {
		ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &before));
		none = (struct rlimit){ 0, before.rlim_max };
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
		EXPECT_EQ(VFIO_TEST_NO_MEMORY, pin(dev, SIZE));
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &before));
	}

	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, SIZE));
	if (variant->iommu) {
		/* Only the pin is left, then all is RAM. */
		t1_device_close(&self->edu);
		EXPECT_EQ(self->locked + PAGE_KIB - 2 * SIZE / 1024, t1_locked_kib());
		t1_device_open(&self->edu, &self->c, t1_require(T1_EDU, 0));
		EXPECT_EQ(self->locked + SIZE / 1024, t1_locked_kib());
	}
	t1_unmap(&self->c, IOVA, TOTAL);
	t1_target_close(&self->target);
}

static void replace_ram(char *ram)
{
	T1_ASSERT(ram == mmap(ram, T1_PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, -1, 0));
}

/*
 * A page that took the place of one which is mapped for an IOMMU counts besides it, until
 * a mapping has the new one, too.
 */
TEST_F(pins, in_place_of_ram)
{
	struct t1_vtest *dev = &self->dev;
	__u64 now = self->locked;

	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, 0));		/* the same page */
	now += pinned_kib(variant->iommu, 1);
	EXPECT_EQ(now, t1_locked_kib());
	replace_ram(self->area);
	replace_ram(self->area + T1_PAGE);
	replace_ram(self->area + TOTAL - T1_PAGE);
	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, 0));		/* the one that is pinned already */
	EXPECT_EQ(now, t1_locked_kib());
	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, T1_PAGE));
	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, TOTAL - T1_PAGE));
	now += 2 * PAGE_KIB;
	EXPECT_EQ(now, t1_locked_kib());
	EXPECT_EQ(VFIO_TEST_DONE,
		  t1_job(dev, 0, VFIO_TEST_UNPIN, IOVA + T1_PAGE, T1_PAGE));
	now -= PAGE_KIB;
	EXPECT_EQ(now, t1_locked_kib());

	if (variant->iommu) {
		/* Two pages are pinned. Of these, that at 0 is not the mapping's then. */
		t1_device_close(&self->edu);
		now = self->locked + 2 * PAGE_KIB - 2 * SIZE / 1024;
		EXPECT_EQ(now, t1_locked_kib());
		t1_device_open(&self->edu, &self->c, t1_require(T1_EDU, 0));
		now = self->locked + PAGE_KIB;
		EXPECT_EQ(now, t1_locked_kib());
		EXPECT_EQ(VFIO_TEST_DONE, t1_job(dev, 0, VFIO_TEST_UNPIN,
						 IOVA + TOTAL - T1_PAGE, T1_PAGE));
		EXPECT_EQ(now, t1_locked_kib());
	}
	t1_unmap(&self->c, IOVA, TOTAL);
	close_target(&self->target, self->area);
}

/* Nor can more be locked this way than is allowed. */
TEST_F(pins, limit_in_place_of_ram)
{
	struct rlimit before, all;

	if (!geteuid()) {
		t1_unmap(&self->c, IOVA, TOTAL);
		close_target(&self->target, self->area);
		SKIP(return, "root may lock what it likes");
	}
	ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &before));
	all = (struct rlimit){ self->locked * 1024, before.rlim_max };
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &all));
	replace_ram(self->area);
	EXPECT_EQ(VFIO_TEST_NO_MEMORY, pin(&self->dev, 0));
	EXPECT_EQ(self->locked, t1_locked_kib());
	EXPECT_EQ(variant->iommu ? VFIO_TEST_DONE : VFIO_TEST_NO_MEMORY,
		  pin(&self->dev, T1_PAGE));
	EXPECT_EQ(self->locked, t1_locked_kib());
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &before));
	t1_unmap(&self->c, IOVA, TOTAL);
	close_target(&self->target, self->area);
}

/* The same where RAM is between two BARs: that is counted for the mapping. */
TEST_F(pins, in_place_of_two_bars)
{
	const __u64 iova = IOVA + TOTAL, size = 3 * T1_PAGE;
	unsigned int i, pins = 0;
	__u64 locked;
	char *area;

	area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	for (i = 0; i < 3; i += 2)
		ASSERT_NE(MAP_FAILED,
			  mmap(area + i * T1_PAGE, T1_PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED, self->target.dev.fd,
			       t1_bar_offset(&self->target.dev, 2, 0)));
	t1_map(&self->c, area, iova, size, T1_RW);
	for (i = 0; i < 3; i += 2)
		replace_ram(area + i * T1_PAGE);

	locked = t1_locked_kib();
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(VFIO_TEST_DONE, t1_job(&self->dev, 0, VFIO_TEST_PIN,
						 iova + i * T1_PAGE, T1_PAGE));
		pins += !(variant->iommu && i == 1);
		EXPECT_EQ(locked + pins * PAGE_KIB, t1_locked_kib());
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(VFIO_TEST_DONE, t1_job(&self->dev, 0, VFIO_TEST_UNPIN,
						 iova + i * T1_PAGE, T1_PAGE));
	EXPECT_EQ(locked, t1_locked_kib());

	t1_unmap(&self->c, iova, size);
	munmap(area, size);
	t1_unmap(&self->c, IOVA, TOTAL);
	close_target(&self->target, self->area);
}

/* What ends where IOVAs end could never be unmapped, nor its pages be unpinned. */
TEST_F(pins, last_page)
{
	EXPECT_EQ(-EINVAL, __t1_map(&self->c, self->area, -T1_PAGE, T1_PAGE, T1_RW));
	EXPECT_EQ(0, __t1_map(&self->c, self->area, IOVA - T1_PAGE, T1_PAGE, T1_RW));
	t1_unmap(&self->c, IOVA - T1_PAGE, T1_PAGE + TOTAL);
}

/* Up to there, all can be unmapped. */
TEST_F(pins, unmap_to_the_end)
{
	__u64 unmapped = 0;

	t1_unmap(&self->c, IOVA, TOTAL);
	if (__t1_map(&self->c, self->area, -2 * T1_PAGE, T1_PAGE, T1_RW))
		SKIP(return, "the IOMMU has fewer bits");
	EXPECT_EQ(0, __t1_unmap(&self->c, -2 * T1_PAGE, 2 * T1_PAGE, &unmapped));
	EXPECT_EQ(T1_PAGE, unmapped);
}

TEST_F(pins, release)
{
	struct t1_vtest *dev = &self->dev;

	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, 0));
	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, T1_PAGE));
	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, 2 * SIZE));
	close_target(&self->target, self->area);
	if (variant->iommu) {
		/* It is gone, RAM included. */
		EXPECT_EQ(self->avail, t1_dma_avail(&self->c));
		EXPECT_EQ(VFIO_TEST_NO_MEMORY, t1_job(dev, 0, VFIO_TEST_READ, IOVA, 8));
	} else {
		/* Without an IOMMU the BAR was not mapped for anybody. */
		EXPECT_EQ(VFIO_TEST_DONE, t1_job(dev, 0, VFIO_TEST_READ, IOVA, 8));
		EXPECT_EQ(VFIO_TEST_NO_MEMORY, t1_job(dev, 0, VFIO_TEST_READ, IOVA + SIZE, 8));
		t1_unmap(&self->c, IOVA, TOTAL);
	}
}

/* The device has room for so many, even of one page, and for more when they are gone. */
TEST_F(pins, all_in_use)
{
	struct t1_vtest *dev = &self->dev;
	int i;

	for (i = 0; i < VFIO_TEST_MAX_PINS; i++)
		EXPECT_EQ(VFIO_TEST_DONE, pin(dev, 0));
	EXPECT_EQ(VFIO_TEST_NO_PIN, pin(dev, 0));
	EXPECT_EQ(VFIO_TEST_NO_PIN, pin(dev, T1_PAGE));
	t1_unmap(&self->c, IOVA, TOTAL);
	t1_map(&self->c, self->area, IOVA, TOTAL, T1_RW);
	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, T1_PAGE));
	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, 0));
	EXPECT_EQ(VFIO_TEST_DONE,
		  t1_job(dev, 0, VFIO_TEST_UNPIN, IOVA, T1_PAGE));
	t1_unmap(&self->c, IOVA, TOTAL);
	close_target(&self->target, self->area);
}

/* The device itself goes first, with its pins. */
TEST_F(pins, close)
{
	const char *name = t1_vtest_find(0);
	struct t1_vtest *dev = &self->dev;
	struct t1_vtest other;

	EXPECT_EQ(VFIO_TEST_DONE, pin(dev, 0));
	t1_vtest_open(&other, &self->c, t1_vtest_find(1));
	t1_vtest_close(dev);
	EXPECT_EQ(self->locked, t1_locked_kib());
	t1_unmap(&self->c, IOVA, TOTAL);
	t1_vtest_open(dev, &self->c, name);
	t1_vtest_close(&other);
	close_target(&self->target, self->area);
}

/* -1 if the log cannot be read */
static int log_lines(const char *what)
{
	int size, count = 0;
	char *log = t1_kernel_log(&size), *line;

	if (!log)
		return -1;
	for (line = strstr(log, what); line; line = strstr(line + 1, what))
		count++;
	free(log);
	return count;
}

/* What may not be locked is refused as often as one likes, and logged some times. */
TEST_F(pins, limited)
{
	const struct rlimit none = { 0, 0 };
	int before, i;

	t1_unmap(&self->c, IOVA, TOTAL);
	close_target(&self->target, self->area);
	if (!geteuid())
		SKIP(return, "root may lock what it likes");
	before = log_lines("RLIMIT_MEMLOCK");
	if (before < 0)
		SKIP(return, "cannot read the log: set kernel.dmesg_restrict=0");
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
	for (i = 0; i < 1000; i++) {
		if (variant->iommu) {
			ASSERT_EQ(-ENOMEM, __t1_map(&self->c, self->area, IOVA, SIZE, T1_RW));
			continue;
		}
		if (!i)
			t1_map(&self->c, self->area, IOVA, SIZE, T1_RW);
		ASSERT_EQ(VFIO_TEST_NO_MEMORY, pin(&self->dev, 0));
	}
	EXPECT_GE(before + 100, log_lines("RLIMIT_MEMLOCK"));
	if (!variant->iommu)
		t1_unmap(&self->c, IOVA, SIZE);
}

TEST_HARNESS_MAIN
