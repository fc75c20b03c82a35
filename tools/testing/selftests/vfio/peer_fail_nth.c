// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the paths of peer memory fails once: the first one of a
 * step, then the second one in a fresh start of it, and so on, until a step has
 * none left to fail. Whatever happens, the step is done or nothing of it is.
 *
 * Needs root and CONFIG_FAULT_INJECTION, CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest_harness.h"

#include "lib/type1.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL
#define TOTAL	(3 * SIZE)	/* RAM, the BAR, RAM */

FIXTURE(fail) {
	struct t1_rig rig;
	struct t1_target target;
	char *area;
};

FIXTURE_SETUP(fail)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf = t1_require(T1_IVSHMEM, 0);
	int ret = __t1_fail_setup();

	if (ret)
		T1_SKIP("%s", T1_FAIL_HINT);
	t1_rig_open(&self->rig, edu);
	t1_target_open(&self->target, bdf, 2, 0);
	self->area = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->area);
	ASSERT_EQ(self->area + SIZE,
		  mmap(self->area + SIZE, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		       self->target.dev.fd, t1_bar_offset(&self->target.dev, 2, 0)));
}

FIXTURE_TEARDOWN(fail)
{
	munmap(self->area, TOTAL);
	t1_target_close(&self->target);
	t1_rig_close(&self->rig);
}

static bool arrives(struct t1_rig *rig, struct t1_target *target)
{
	return t1_dma_arrives(rig, IOVA + SIZE, target->mem);
}

static void set_memory(struct t1_target *target, bool on)
{
	t1_set_command(&target->dev, PCI_COMMAND_MEMORY, on);
}

static bool gone(struct t1_rig *rig)
{
	__u64 size = ~0ULL;

	return !__t1_unmap(&rig->c, IOVA, TOTAL, &size) && !size &&
	       t1_dma_avail(&rig->c) == rig->avail - 1 &&
	       t1_translates(rig->edu.bdf, IOVA) != 1 &&
	       t1_translates(rig->edu.bdf, IOVA + SIZE) != 1;
}

TEST_F(fail, map)
{
	__u64 locked = t1_locked_kib();
	bool more, off;
	int nth, ret;

	for (off = false; ; off = true) {
		t1_for_each_failure(nth, more) {
			set_memory(&self->target, !off);
			t1_fail_nth(nth);
			ret = __t1_map(&self->rig.c, self->area, IOVA, TOTAL, T1_RW);
			more = t1_failed();
			set_memory(&self->target, true);
			if (!ret) {
				t1_unmap(&self->rig.c, IOVA, TOTAL);
				continue;
			}
			EXPECT_TRUE(more);
			EXPECT_TRUE(gone(&self->rig));
			EXPECT_EQ(locked, t1_locked_kib());
		}
		TH_LOG("%d allocations failed", nth - 2);
		EXPECT_LT(nth, T1_MAX_NTH);
		EXPECT_LT(4, nth);
		if (off)
			break;
	}
	t1_map(&self->rig.c, self->area, IOVA, TOTAL, T1_RW);
	EXPECT_TRUE(arrives(&self->rig, &self->target));
	t1_unmap(&self->rig.c, IOVA, TOTAL);
}

/* What cannot be restored goes as by UNMAP_DMA; turning memory on succeeds. */
TEST_F(fail, resume)
{
	int nth, lost = 0;
	__u64 size;
	bool more;

	t1_for_each_failure(nth, more) {
		t1_map(&self->rig.c, self->area, IOVA, TOTAL, T1_RW);
		set_memory(&self->target, false);
		t1_fail_nth(nth);
		t1_config_write(&self->target.dev, PCI_COMMAND, 2,
				PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		more = t1_failed();
		EXPECT_EQ(0, __t1_unmap(&self->rig.c, IOVA, TOTAL, &size));
		EXPECT_TRUE(size == TOTAL || !size);
		lost += !size;
		EXPECT_TRUE(gone(&self->rig));
	}
	TH_LOG("%d allocations failed, %d mappings lost", nth - 2, lost);
	EXPECT_LT(nth, T1_MAX_NTH);
	EXPECT_LT(0, lost);
}

/*
 * One of the failures makes the group keep a domain of its own, in which all is
 * mapped once more: the other devices' view must not depend on that.
 */
TEST_F(fail, attach)
{
	const char *bdf = t1_require(T1_EDU, 1);
	struct t1_group *group;
	int nth, ret, done = 0;
	bool more;

	t1_map(&self->rig.c, self->area, IOVA, TOTAL, T1_RW);
	t1_for_each_failure(nth, more) {
		t1_fail_nth(nth);
		ret = __t1_group_get(&self->rig.c, t1_group_of(bdf), &group);
		more = t1_failed();
		if (ret)
			continue;
		set_memory(&self->target, false);
		EXPECT_NE(1, t1_translates(bdf, IOVA + SIZE));
		EXPECT_NE(1, t1_translates(self->rig.edu.bdf, IOVA + SIZE));
		set_memory(&self->target, true);
		EXPECT_NE(0, t1_translates(bdf, IOVA + SIZE));
		EXPECT_NE(0, t1_translates(bdf, IOVA));
		t1_group_put(group);
		EXPECT_NE(0, t1_translates(self->rig.edu.bdf, IOVA + SIZE));
		done++;
	}
	TH_LOG("%d allocations failed, %d times attached all the same", nth - 2, done - 1);
	EXPECT_LT(nth, T1_MAX_NTH);
	EXPECT_LT(1, done);
	EXPECT_EQ(self->rig.avail - 2, t1_dma_avail(&self->rig.c));
	EXPECT_TRUE(arrives(&self->rig, &self->target));
	t1_unmap(&self->rig.c, IOVA, TOTAL);
}

TEST_F(fail, open)
{
	struct t1_container c;
	struct t1_device dev;
	int nth, fd, opened = 0;
	bool more;

	t1_container_open(&c);
	T1_ASSERT_OK(__t1_group_get(&c, t1_group_of(t1_require(T1_EDU, 1)), &dev.group));
	t1_for_each_failure(nth, more) {
		t1_fail_nth(nth);
		fd = ioctl(dev.group->fd, VFIO_GROUP_GET_DEVICE_FD, t1_find(T1_EDU, 1));
		more = t1_failed();
		if (fd >= 0) {
			close(fd);
			opened++;
		}
	}
	TH_LOG("%d allocations failed, %d times opened all the same", nth - 2, opened - 1);
	EXPECT_LT(nth, T1_MAX_NTH);
	EXPECT_LT(0, opened);
	t1_group_put(dev.group);
	t1_container_close(&c);
}

/* The fault is repeated, and the page is there. */
TEST_F(fail, fault)
{
	bool more;
	__u32 value;
	void *bar;
	int nth;

	t1_for_each_failure(nth, more) {
		bar = t1_bar_mmap(&self->target.dev, 2, 0, SIZE);
		self->target.mem[0] = nth;
		t1_fail_nth(nth);
		EXPECT_TRUE(touch_read(bar, &value));
		more = t1_failed();
		EXPECT_EQ((__u32)nth, value);
		munmap(bar, SIZE);
	}
	TH_LOG("%d allocations failed", nth - 2);
	EXPECT_LT(nth, T1_MAX_NTH);
}

TEST_HARNESS_MAIN
