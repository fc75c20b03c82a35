// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a container counts for device memory, and who owns it: live update of the
 * process that has it mapped, locked memory, the number of mappings; several
 * kinds of memory as a target.
 *
 * Fails on stock 6.1: a mapping of which one piece is off or released.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL
#define TOTAL	(3 * SIZE)	/* RAM, the BAR, RAM */

FIXTURE(update) {
	struct t1_rig rig;
	struct t1_target target;
	char *area;
};

/* RAM with a file's memory in its middle */
static char *make_area(int fd, __u64 offset)
{
	char *area = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	T1_ASSERT(area != MAP_FAILED);
	T1_ASSERT(mmap(area + SIZE, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		       offset) == area + SIZE);
	return area;
}

FIXTURE_SETUP(update)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf = t1_require(T1_IVSHMEM, 0);

	t1_rig_open(&self->rig, edu);
	t1_target_open(&self->target, bdf, 2, 0);
	self->area = make_area(self->target.dev.fd, t1_bar_offset(&self->target.dev, 2, 0));
}

FIXTURE_TEARDOWN(update)
{
	munmap(self->area, TOTAL);
	t1_target_close(&self->target);
	t1_rig_close(&self->rig);
}

static int unmap_vaddr(struct t1_container *c)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = VFIO_DMA_UNMAP_FLAG_VADDR,
		.iova = IOVA, .size = TOTAL,
	};

	if (ioctl(c->fd, VFIO_IOMMU_UNMAP_DMA, &unmap))
		return -errno;
	return unmap.size == TOTAL ? 0 : -EIO;
}

static int map_vaddr(int container, char *area)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_VADDR,
		.vaddr = (unsigned long)area, .iova = IOVA, .size = TOTAL,
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

/*
 * The program after exec(): it has inherited the files and tells where it has the
 * memory now. A constructor, so that the harness need not know.
 */
static void __attribute__((constructor)) after_exec(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "after-exec"))
		_exit(-map_vaddr(atoi(argv[2]),
				 make_area(atoi(argv[3]), strtoull(argv[4], NULL, 0))));
}

static void exec_self(int container, struct t1_device *dev)
{
	char args[3][32];

	fcntl(container, F_SETFD, 0);
	fcntl(dev->fd, F_SETFD, 0);
	snprintf(args[0], sizeof(args[0]), "%d", container);
	snprintf(args[1], sizeof(args[1]), "%d", dev->fd);
	snprintf(args[2], sizeof(args[2]), "%#llx", t1_bar_offset(dev, 2, 0));
	execl("/proc/self/exe", "peer_update_test", "after-exec", args[0], args[1], args[2], NULL);
	_exit(127);
}

static int run_after_exec(int container, struct t1_device *dev)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		exec_self(container, dev);
	T1_ASSERT(waitpid(pid, &status, 0) == pid);
	return status;
}

static bool reaches_bar(struct t1_rig *rig, struct t1_target *target)
{
	return t1_dma_arrives(rig, IOVA + SIZE, target->mem);
}

/* What is mapped goes on being mapped, on or off. */
TEST_F(update, live_update)
{
	struct t1_target *target = &self->target;
	int container = self->rig.c.fd;

	t1_map(&self->rig.c, self->area, IOVA, TOTAL, T1_RW);
	ASSERT_EQ(0, unmap_vaddr(&self->rig.c));
	EXPECT_TRUE(reaches_bar(&self->rig, target));
	ASSERT_EQ(0, run_after_exec(container, &target->dev));
	EXPECT_TRUE(reaches_bar(&self->rig, target));

	/* Once more, with memory off in between, and off at the update */
	ASSERT_EQ(0, unmap_vaddr(&self->rig.c));
	t1_set_memory(&target->dev, false);
	ASSERT_EQ(0, run_after_exec(container, &target->dev));
	t1_set_memory(&target->dev, true);
	EXPECT_TRUE(reaches_bar(&self->rig, target));
	t1_unmap(&self->rig.c, IOVA, TOTAL);
}

/* Released in between, it is gone, and nobody waits for its new address. */
TEST_F(update, live_update_without_target)
{
	const char *more = t1_require(T1_EDU, 1);
	struct t1_device edu;

	t1_map(&self->rig.c, self->area, IOVA, TOTAL, T1_RW);
	ASSERT_EQ(0, unmap_vaddr(&self->rig.c));
	munmap(self->area, TOTAL);
	t1_target_close(&self->target);
	EXPECT_EQ(-ENOENT, map_vaddr(self->rig.c.fd, self->area));
	EXPECT_EQ(0, __t1_device_open(&edu, &self->rig.c, more));
	t1_device_close(&edu);

	t1_target_open(&self->target, t1_find(T1_IVSHMEM, 0), 2, 0);
	self->area = make_area(self->target.dev.fd, t1_bar_offset(&self->target.dev, 2, 0));
}

/* RAM is locked memory, device memory is not, in whatever state it is. */
TEST_F(update, locked_memory)
{
	__u64 before = t1_locked_kib();

	t1_map(&self->rig.c, self->area, IOVA, TOTAL, T1_RW);
	EXPECT_EQ(before + 2 * SIZE / 1024, t1_locked_kib());
	t1_set_memory(&self->target.dev, false);
	t1_map(&self->rig.c, self->area + SIZE, IOVA + TOTAL, SIZE, T1_RW);
	EXPECT_EQ(before + 2 * SIZE / 1024, t1_locked_kib());
	t1_unmap(&self->rig.c, IOVA, TOTAL);
	EXPECT_EQ(before, t1_locked_kib());
	t1_set_memory(&self->target.dev, true);
	t1_unmap(&self->rig.c, IOVA + TOTAL, SIZE);
	EXPECT_EQ(before, t1_locked_kib());
}

TEST_F(update, no_lock_limit)
{
	struct rlimit none = { };

	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
	ASSERT_EQ(0, __t1_map(&self->rig.c, self->area + SIZE, IOVA, SIZE, T1_RW));
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	t1_unmap(&self->rig.c, IOVA, SIZE);
}

#define DMA_ENTRY_LIMIT	"/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

/*
 * The number of mappings bounds the pieces of device memory as well, and a map
 * that has too many of them leaves nothing behind.
 */
TEST_F(update, entry_limit)
{
	struct t1_rig small;
	const char *edu = t1_require(T1_EDU, 1);
	__u64 offset = t1_bar_offset(&self->target.dev, 2, 0);
	const int pages[] = { 0, 2, 9 };
	char limit[16];
	unsigned int i;

	t1_read_file(DMA_ENTRY_LIMIT, limit, sizeof(limit));
	if (__t1_write_file(DMA_ENTRY_LIMIT, "4"))
		SKIP(return, "cannot set dma_entry_limit: run as root");
	t1_rig_open(&small, edu);
	t1_write_file(DMA_ENTRY_LIMIT, limit);
	ASSERT_EQ(4u, small.avail);
	/* With that in the middle, four pieces; three mappings are left. */
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		ASSERT_NE(MAP_FAILED, mmap(self->area + pages[i] * T1_PAGE, T1_PAGE,
					   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
					   self->target.dev.fd, offset));
	EXPECT_EQ(-ENOSPC, __t1_map(&small.c, self->area, IOVA, TOTAL, T1_RW));
	EXPECT_EQ(3u, t1_dma_avail(&small.c));
	EXPECT_FALSE(t1_dma_arrives(&small, IOVA, self->target.mem));
	EXPECT_EQ(0, __t1_map(&small.c, self->area, IOVA, 8 * T1_PAGE, T1_RW));
	EXPECT_EQ(0u, t1_dma_avail(&small.c));
	EXPECT_TRUE(t1_dma_arrives(&small, IOVA + 4 * T1_PAGE, self->target.mem));
	t1_unmap(&small.c, IOVA, 8 * T1_PAGE);
	t1_rig_close(&small);
}

/* Registers and controller memory are targets like RAM is. */
TEST_F(update, kinds_of_memory)
{
	static const struct {
		enum t1_kind kind;
		int nth, bar;
		__u64 page, reg;	/* reads back what was written */
	} kinds[] = {
		{ T1_EDU, 1, 0, 0, 0x80 },
		{ T1_NVME, 0, 2, T1_PAGE, 0 },
		{ T1_E1000E, 0, 0, 0x5000, 0x200 },
	};
	struct t1_target other;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *bdf = t1_require(kinds[i].kind, kinds[i].nth);

		t1_target_open(&other, bdf, kinds[i].bar, kinds[i].page);
		t1_map(&self->rig.c, other.mem, IOVA, SIZE, T1_RW);
		EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA + kinds[i].reg,
					   other.mem + kinds[i].reg / 4));
		t1_unmap(&self->rig.c, IOVA, SIZE);
		t1_target_close(&other);
	}
}

TEST_HARNESS_MAIN
