// SPDX-License-Identifier: GPL-2.0-only
/*
 * A zap visits only what may be mapped since the one before. So it must know of
 * each way in which a page of a BAR comes to be mapped, and do nothing where there
 * was none.
 *
 * Each test zaps twice in a row first: now the kernel takes nothing for mapped. A
 * way that it does not know of leaves a page that works while memory is off.
 *
 * Fail on stock 6.1:
 *  - copied, moved: these page table entries are in a VMA that is not on the list of
 *    VMAs to zap; untrack_pfn() warns of the latter.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_delay.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_touch.h"

#define PAGE	4096UL
#define ROUNDS	3

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

static void off(struct t1_device *dev)
{
	t1_set_memory(dev, false);
}

static void on(struct t1_device *dev)
{
	t1_set_memory(dev, true);
}

static void off_and_on(struct t1_device *dev)
{
	off(dev);
	on(dev);
}

/* Ways to have @page of a BAR mapped, or to try */

static void by_read(char *page)
{
	__u32 value;

	T1_ASSERT(touch_read(page, &value));
}

static void by_write(char *page)
{
	T1_ASSERT(touch_write(page, 1));
}

/* One page table maps both */
static void by_neighbour(char *page)
{
	by_read(page + PAGE);
}

static void by_copy_to_user(char *page)
{
	int zero = open("/dev/zero", O_RDONLY);

	T1_ASSERT(zero >= 0 && read(zero, page, 8) == 8);
	close(zero);
}

static void by_copy_from_user(char *page)
{
	int pipes[2];

	T1_ASSERT(!pipe(pipes) && write(pipes[1], page, 8) == 8);
	close(pipes[0]);
	close(pipes[1]);
}

/* By fixup_user_fault(), as KVM does it */
static void by_futex(char *page)
{
	__u32 word = 0;

	T1_ASSERT(!syscall(SYS_futex, &word, FUTEX_WAKE_OP_PRIVATE, 1, 1UL, page,
			   FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, -1)));
}

/* Others find pages of ordinary memory only, and do not fault these in. */
static void by_vm_readv(char *page)
{
	struct iovec remote = { page, 8 }, local = { &(__u64){ 0 }, 8 };

	T1_ASSERT(process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == -1);
	T1_ASSERT(errno == EFAULT);
}

static void by_proc_mem(char *page)
{
	int mem = open("/proc/self/mem", O_RDONLY);
	__u64 data;

	T1_ASSERT(mem >= 0 && pread(mem, &data, 8, (unsigned long)page) == -1 && errno == EIO);
	close(mem);
}

static void by_mlock(char *page)
{
	T1_ASSERT(!mlock(page, PAGE) && !munlock(page, PAGE));
}

static void by_populate(char *page)
{
	T1_ASSERT(madvise(page, PAGE, MADV_POPULATE_WRITE) == -1);
	T1_ASSERT(errno == EINVAL);
}

FIXTURE(way) {
	struct t1_container container;
	struct t1_device dev;
	char *page;
};

FIXTURE_VARIANT(way) {
	void (*touch)(char *page);
	bool maps;
};

FIXTURE_VARIANT_ADD(way, read) { by_read, true };
FIXTURE_VARIANT_ADD(way, write) { by_write, true };
FIXTURE_VARIANT_ADD(way, neighbour) { by_neighbour, true };
FIXTURE_VARIANT_ADD(way, copy_to_user) { by_copy_to_user, true };
FIXTURE_VARIANT_ADD(way, copy_from_user) { by_copy_from_user, true };
FIXTURE_VARIANT_ADD(way, futex) { by_futex, true };
FIXTURE_VARIANT_ADD(way, vm_readv) { by_vm_readv, false };
FIXTURE_VARIANT_ADD(way, proc_mem) { by_proc_mem, false };
FIXTURE_VARIANT_ADD(way, mlock) { by_mlock, false };
FIXTURE_VARIANT_ADD(way, populate) { by_populate, false };

static void open_device(struct t1_container *container, struct t1_device *dev, const char *bdf)
{
	touch_init();
	t1_container_open(container);
	t1_device_open(dev, container, bdf);
	off_and_on(dev);
	off_and_on(dev);
}

FIXTURE_SETUP(way)
{
	const char *bdf = t1_require(T1_IVSHMEM, 0);

	open_device(&self->container, &self->dev, bdf);
	self->page = t1_bar_mmap(&self->dev, 2, 0, 2 * PAGE);
}

FIXTURE_TEARDOWN(way)
{
	munmap(self->page, 2 * PAGE);
	t1_device_close(&self->dev);
	t1_container_close(&self->container);
}

TEST_F(way, zapped)
{
	int i;

	/* What it does, or the rest would test nothing */
	variant->touch(self->page);
	ASSERT_EQ(!variant->maps, touch_faults(self->page));
	for (i = 0; i < ROUNDS; i++) {
		off_and_on(&self->dev);
		off_and_on(&self->dev);
		variant->touch(self->page);
		off(&self->dev);
		EXPECT_EQ(-1, touch_faults(self->page));
		on(&self->dev);
	}
}

FIXTURE(rezap) {
	struct t1_container container;
	struct t1_device dev;
};

FIXTURE_SETUP(rezap)
{
	open_device(&self->container, &self->dev, t1_require(T1_IVSHMEM, 0));
}

FIXTURE_TEARDOWN(rezap)
{
	t1_device_close(&self->dev);
	t1_container_close(&self->container);
}

/* It knows each BAR. */
TEST_F(rezap, bar)
{
	char *bar0 = t1_bar_mmap(&self->dev, 0, 0, PAGE);
	char *bar2 = t1_bar_mmap(&self->dev, 2, PAGE, PAGE);
	char * const pages[] = { bar0, bar2, bar0 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		ASSERT_EQ(1, touch_faults(pages[i]));
		off(&self->dev);
		EXPECT_EQ(-1, touch_faults(pages[i]));
		on(&self->dev);
		off_and_on(&self->dev);
	}
	ASSERT_EQ(1, touch_faults(bar0));
	ASSERT_EQ(1, touch_faults(bar2));
	off(&self->dev);
	EXPECT_EQ(-1, touch_faults(bar0));
	EXPECT_EQ(-1, touch_faults(bar2));
	on(&self->dev);
}

/* A child's touch, of what it has from fork() or maps itself from the file that it has */
TEST_F(rezap, child)
{
	char *page = t1_bar_mmap(&self->dev, 2, 0, PAGE);
	int inherits[2], maps[2], status, i;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, inherits));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, maps));
	if (!fork()) {
		close(inherits[0]);
		close(maps[0]);
		touch_serve(inherits[1], page);
	}
	if (!fork()) {
		close(inherits[0]);
		close(maps[0]);
		munmap(page, PAGE);
		touch_serve(maps[1], t1_bar_mmap(&self->dev, 2, 0, PAGE));
	}
	for (i = 0; i < ROUNDS; i++) {
		EXPECT_EQ(1, touch_ask(inherits[0]));
		off(&self->dev);
		EXPECT_EQ(-1, touch_ask(inherits[0]));
		on(&self->dev);
		off_and_on(&self->dev);

		EXPECT_EQ(1, touch_ask(maps[0]));
		off(&self->dev);
		EXPECT_EQ(-1, touch_ask(maps[0]));
		on(&self->dev);
		off_and_on(&self->dev);
	}
	close(inherits[0]);
	close(maps[0]);
	while (wait(&status) > 0)
		EXPECT_EQ(0, status);
}

/* fork() copies what the parent has touched; the child has no fault. */
TEST_F(rezap, copied)
{
	char *page = t1_bar_mmap(&self->dev, 2, 0, PAGE);
	int socks[2], status, i;

	for (i = 0; i < ROUNDS; i++) {
		by_read(page);
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
		if (!fork()) {
			close(socks[0]);
			touch_serve(socks[1], page);
		}
		/* What else the child touches for the first time counts as well. */
		ASSERT_LE(0, touch_ask(socks[0]));
		ASSERT_EQ(0, touch_ask(socks[0]));
		off(&self->dev);
		EXPECT_EQ(-1, touch_ask(socks[0]));
		EXPECT_EQ(-1, touch_faults(page));
		on(&self->dev);
		off_and_on(&self->dev);
		close(socks[0]);
		close(socks[1]);
		wait(&status);
		EXPECT_EQ(0, status);
	}
}

TEST_F(rezap, moved)
{
	char *area = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *page = t1_bar_mmap(&self->dev, 2, 0, PAGE), *to;
	int i;

	ASSERT_NE(MAP_FAILED, area);
	for (i = 0; i < ROUNDS; i++) {
		to = area + i % 2 * PAGE;
		by_read(page);
		ASSERT_EQ(to, mremap(page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to));
		page = to;
		/* It moved with its page table entry */
		ASSERT_EQ(0, touch_faults(page));
		off(&self->dev);
		EXPECT_EQ(-1, touch_faults(page));
		on(&self->dev);
		off_and_on(&self->dev);
	}
}

/* Does it visit mappings when memory goes off? */
static bool visits(struct t1_device *dev)
{
	bool called;

	t1_watch_begin("unmap_mapping_pages", "vfio_pci_zap_bars");
	off(dev);
	called = t1_watch_end();
	on(dev);
	return called;
}

TEST_F(rezap, nothing_to_zap)
{
	char *page = t1_bar_mmap(&self->dev, 2, 0, 2 * PAGE), *other;

	if (geteuid())
		SKIP(return, "only root can watch the kernel");
	if (!t1_watch_usable())
		SKIP(return, "%s", T1_WATCH_HINT);

	/* Mapped, and never touched */
	EXPECT_FALSE(visits(&self->dev));
	by_read(page);
	EXPECT_TRUE(visits(&self->dev));
	EXPECT_FALSE(visits(&self->dev));

	/* What maps no page */
	off(&self->dev);
	EXPECT_EQ(-1, touch_faults(page));
	on(&self->dev);
	by_vm_readv(page);
	by_proc_mem(page);
	by_mlock(page);
	by_populate(page);
	other = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, self->dev.fd,
		     t1_bar_offset(&self->dev, 2, 0));
	ASSERT_NE(MAP_FAILED, other);
	ASSERT_EQ(0, munmap(other, PAGE));
	T1_IN_CHILD();
	EXPECT_FALSE(visits(&self->dev));

	/* The child's touch counts, after its end, too: nobody looks where it was. */
	T1_IN_CHILD(by_read(page));
	EXPECT_TRUE(visits(&self->dev));
	EXPECT_FALSE(visits(&self->dev));
}

TEST_HARNESS_MAIN
