// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races of peer memory, on purpose: a call is delayed where it matters, and
 * another one comes in between. Each window belongs to a rule in the head comment
 * of drivers/vfio/peer.c. What was changed there, to see the test fail:
 *
 *	memory_off_, memory_on_before_map_looks	  "blocked" read before the lock is taken
 *	memory_off_while_mapping		  the walk takes no lock of spaces
 *	map_behind_walk				  the walk comes first, then the mark
 *	release_before_map			  no get_file() in vfio_peer_lookup()
 *	unmap_while_revoking			  as memory_off_while_mapping
 *	release_while_unmapping			  vfio_peer_unmap() without the lock
 *	close_of_container_during_walk		  vfio_peer_free() with the space's lock only
 *	close_of_container_before_reaper	  no cancel_delayed_work_sync()
 *	others_between_parts_of_walk		  vfio_peers.lock held for a whole walk
 *	tracking_stops_while_unmapping		  vfio_dma_do_unmap() looks only once
 *
 * That nobody waits who must not is tested as well, and by peer_reap_test.c for the
 * locks that users can hold.
 *
 * Fails on stock 6.1, which has none of these functions.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_delay.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_iommu.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_vtest.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL

FIXTURE(window) {
	struct t1_rig rig;
	struct t1_target target;
	const char *edu, *bdf;	/* of the rig, of the target */
};

/* The target's memory was mapped once, so it takes no more than one lock to do it again. */
FIXTURE_SETUP(window)
{
	if (!t1_race_usable())
		T1_SKIP("%s", T1_RACE_HINT);
	self->edu = t1_require(T1_EDU, 0);
	self->bdf = t1_require(T1_IVSHMEM, 0);
	t1_rig_open(&self->rig, self->edu);
	t1_target_open(&self->target, self->bdf, 2, 0);
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_unmap(&self->rig.c, IOVA, SIZE);
}

/* Whatever happened, it works as before. */
FIXTURE_TEARDOWN(window)
{
	t1_set_memory(&self->target.dev, true);
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	t1_unmap(&self->rig.c, IOVA, SIZE);
	EXPECT_EQ(0, t1_told(&self->rig.c, "vfio-peer-ranges"));
	t1_target_close(&self->target);
	t1_rig_close(&self->rig);
}

/* What is delayed: calls for t1_race_begin() */

static void unmap(void *c)
{
	t1_unmap(c, IOVA, SIZE);
}

static void memory_off(void *dev)
{
	t1_set_memory(dev, false);
}

static void release(void *target)
{
	t1_target_close(target);
}

/*
 * Nothing is left of a mapping whose target was released. What the container tells of
 * itself is not all.
 */
#define expect_gone() do {						\
	EXPECT_FALSE(t1_rig_translates(&self->rig, IOVA));		\
	EXPECT_EQ(self->rig.avail - 1, t1_dma_avail(&self->rig.c));	\
	t1_target_open(&self->target, self->bdf, 2, 0);			\
} while (0)

/* A mapping whose target's memory is off, and comes back with it. */
#define expect_suspended() do {						\
	EXPECT_FALSE(t1_rig_translates(&self->rig, IOVA));		\
	EXPECT_EQ(1, t1_told(&self->rig.c, "vfio-peer-suspended"));	\
	t1_set_memory(&self->target.dev, true);				\
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem)); \
	t1_unmap(&self->rig.c, IOVA, SIZE);				\
} while (0)

/* A map looks at the mark under the lock of the space: here it does not have that yet. */
TEST_F(window, memory_off_before_map_looks)
{
	struct t1_map_call m = { &self->rig.c, self->target.mem, IOVA, SIZE };
	struct t1_race race;

	t1_race_begin_free(&race, "mutex_lock", "vfio_peer_map", t1_map_call, &m);
	t1_set_memory(&self->target.dev, false);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	expect_suspended();
}

TEST_F(window, memory_on_before_map_looks)
{
	struct t1_map_call m = { &self->rig.c, self->target.mem, IOVA, SIZE };
	struct t1_race race;

	t1_set_memory(&self->target.dev, false);
	t1_race_begin_free(&race, "mutex_lock", "vfio_peer_map", t1_map_call, &m);
	t1_set_memory(&self->target.dev, true);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(0, t1_told(&self->rig.c, "vfio-peer-suspended"));
	EXPECT_TRUE(t1_dma_arrives(&self->rig, IOVA, self->target.mem));
	t1_unmap(&self->rig.c, IOVA, SIZE);
}

/* The walk visits each space under its lock, which the map has. */
TEST_F(window, memory_off_while_mapping)
{
	struct t1_map_call m = { &self->rig.c, self->target.mem, IOVA, SIZE };
	struct t1_race race;

	t1_race_begin(&race, "iommu_map", "", t1_map_call, &m);
	t1_set_memory(&self->target.dev, false);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	expect_suspended();
}

/* The mark is set before the walk: it has left this space and is in the next one. */
TEST_F(window, map_behind_walk)
{
	const char *edu = t1_require(T1_EDU, 1);
	struct t1_race race;
	struct t1_rig other;

	t1_rig_open(&other, edu);
	t1_map(&other.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_race_begin_free(&race, "iommu_unmap", "", memory_off, &self->target.dev);
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	expect_suspended();
	t1_unmap(&other.c, IOVA, SIZE);
	t1_rig_close(&other);
}

/* The map has a file, which keeps the device open until it is done. */
TEST_F(window, release_before_map)
{
	struct t1_map_call m = { &self->rig.c, self->target.mem, IOVA, SIZE };
	struct t1_race race;

	t1_race_begin_free(&race, "mutex_lock", "vfio_peer_map", t1_map_call, &m);
	t1_target_close(&self->target);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	expect_gone();
}

/* An unmap comes after a revoke, and finds nothing any more. */
TEST_F(window, unmap_while_revoking)
{
	struct t1_race race;
	__u64 unmapped;

	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_race_begin(&race, "iommu_unmap", "", release, &self->target);
	EXPECT_EQ(0, __t1_unmap(&self->rig.c, IOVA, SIZE, &unmapped));
	EXPECT_EQ(0, unmapped);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	expect_gone();
}

/* It frees a range under the lock of the space. */
TEST_F(window, release_while_unmapping)
{
	struct t1_race race;

	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_race_begin(&race, "iommu_unmap", "", unmap, &self->rig.c);
	t1_target_close(&self->target);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	expect_gone();
}

/* The lock of the device's list keeps a container, though it has nothing mapped. */
TEST_F(window, close_of_container_during_walk)
{
	const char *edu = t1_require(T1_EDU, 1);
	struct t1_race race;
	struct t1_rig other;

	t1_rig_open(&other, edu);
	t1_map(&other.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_unmap(&other.c, IOVA, SIZE);
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_race_begin(&race, "iommu_unmap", "", memory_off, &self->target.dev);
	/* It has RAM to unmap, but the first task that comes there has come already */
	t1_rig_close(&other);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	expect_suspended();
}

/* Between its parts a walk keeps nobody from coming to the device, or from leaving it. */
TEST_F(window, others_between_parts_of_walk)
{
	const int ranges = 65;	/* one more than a part has */
	const char *edu = t1_require(T1_EDU, 1);
	struct t1_container other;
	struct t1_group *group;
	struct t1_race race;
	struct utsname kernel;
	int i;

	/* Without this call there is no place to stop it in. */
	if (uname(&kernel) || strstr(kernel.version, " PREEMPT ") ||
	    !t1_has_function("vfio_peers_walk"))
		SKIP(return, "a kernel that preempts anywhere, or inlines this function");
	t1_container_open(&other);
	T1_ASSERT_OK(__t1_group_get(&other, t1_group_of(edu), &group));
	for (i = 0; i < ranges; i++)
		t1_map(&self->rig.c, self->target.mem, IOVA + i * SIZE, SIZE, T1_RW);
	t1_race_begin_free(&race, "__cond_resched", "vfio_peers_walk", memory_off,
			   &self->target.dev);
	EXPECT_EQ(ranges - 1, t1_told(&self->rig.c, "vfio-peer-suspended"));
	t1_map(&other, self->target.mem, IOVA, SIZE, T1_RW);
	EXPECT_EQ(1, t1_told(&other, "vfio-peer-suspended"));
	t1_unmap(&other, IOVA, SIZE);
	t1_group_put(group);
	t1_container_close(&other);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(ranges, t1_told(&self->rig.c, "vfio-peer-suspended"));
	t1_set_memory(&self->target.dev, true);
	for (i = 0; i < ranges; i++)
		t1_unmap(&self->rig.c, IOVA + i * SIZE, SIZE);
}

/* A container goes away when its reaper has come to an end. */
TEST_F(window, close_of_container_before_reaper)
{
	const char *edu = t1_require(T1_EDU, 1);
	struct t1_race race;
	struct t1_rig other;

	t1_rig_open(&other, edu);
	t1_map(&other.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_race_begin_work(&race, "vfio_peer_reap_work", release, &self->target);
	/* Without an ioctl, each of which would reap */
	munmap(other.ram, SIZE);
	munmap(other.bar0, T1_EDU_BAR_SIZE);
	t1_device_close(&other.edu);
	t1_container_close(&other.c);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	expect_gone();
}

/*
 * Devices are asked to unpin without the lock: then there may be no dirty bitmap any more.
 * It would have to be shifted, for the range begins before the mapping.
 */
static void unmap_dirty(void *c)
{
	__u64 bitmap;

	T1_ASSERT(__t1_unmap_dirty(c, IOVA - T1_PAGE, SIZE + T1_PAGE, T1_PAGE, &bitmap, NULL) ==
		  -EINVAL);
}

TEST(tracking_stops_while_unmapping)
{
	const char *name = t1_vtest_find(0);
	struct t1_container c;
	struct t1_vtest dev;
	struct t1_race race;
	void *ram;

	if (!t1_race_usable())
		SKIP(return, "%s", T1_RACE_HINT);
	if (!name)
		SKIP(return, T1_VTEST_HINT);
	t1_container_open(&c);
	t1_vtest_open(&dev, &c, name);
	ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, ram);
	t1_map(&c, ram, IOVA, SIZE, T1_RW);
	ASSERT_EQ(VFIO_TEST_DONE, t1_job(&dev, 0, VFIO_TEST_PIN, IOVA, T1_PAGE));
	ASSERT_EQ(0, __t1_dirty_pages(&c, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, 0, NULL));

	t1_race_begin_free(&race, "vfio_test_dma_unmap", "", unmap_dirty, &c);
	EXPECT_EQ(0, __t1_dirty_pages(&c, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, 0, 0, NULL));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);

	t1_unmap(&c, IOVA, SIZE);
	munmap(ram, SIZE);
	t1_vtest_close(&dev);
	t1_container_close(&c);
}

/* What all of these tests, and others, rely on: no delay but the one that was asked for */
TEST(delay_refused)
{
	static const struct {
		const char *text;
		int error;
	} bad[] = {
		{ "iommu_map", -EINVAL },
		{ "iommu_map many", -EINVAL },
		{ "iommu_map 10001", -EINVAL },
		{ "no_such_function 1", -ENOENT },
		{ "iommu_map 1 no_such_function", -ENOENT },
	};
	unsigned int i;

	if (!t1_race_usable())
		SKIP(return, "%s", T1_RACE_HINT);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(bad[i].error, __t1_write_file(T1_RACE_DELAY, bad[i].text));
		EXPECT_FALSE(t1_race_overtaken());
	}
	/* One that is refused ends the one before, too. */
	EXPECT_EQ(0, __t1_write_file(T1_RACE_DELAY, "iommu_map 1"));
	EXPECT_TRUE(t1_race_armed());
	EXPECT_EQ(-EINVAL, __t1_write_file(T1_RACE_DELAY, "iommu_map"));
	EXPECT_FALSE(t1_race_armed());
}

TEST_HARNESS_MAIN
