// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens to a whole group in the same moment as to device memory that a
 * container has mapped: races on purpose, as in peer_window_test.c. The tests of
 * domains fail when the function of peer.c that they are about does not take the
 * lock of the space: vfio_peer_map_range(), vfio_peer_attach_group() and
 * vfio_peer_detach_group(); those of a second domain when it enters the list after
 * it was filled, when vfio_range_map() gives a range no new epoch, and
 * failure_in_new_domain when it gives up a range that fails in this domain only.
 * map_during_hot_reset fails when only the first function is blocked;
 * hot_reset_during_map sees no more than that nobody hangs.
 * attach_while_group_is_removed fails when VFIO_GROUP_SET_CONTAINER does not ask for
 * vfio_group.drivers, coherency_of_busy_container when vfio_file_enforced_coherent()
 * asks under the lock of the group.
 *
 * Fails on stock 6.1, which has none of these functions.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_delay.h"
#include "../lib/type1_fail.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_iommu.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_stall.h"
#include "../lib/type1_vtest.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL

FIXTURE(domain) {
	struct t1_container c;
	struct t1_vtest vtest;
	struct t1_device edu;
	struct t1_target target;
	const char *bdf;	/* of edu */
};

/* A group without an IOMMU keeps the mapping, and is there before or after the other. */
FIXTURE_SETUP(domain)
{
	const char *vtest = t1_vtest_find(0);
	const char *target = t1_require(T1_IVSHMEM, 0);

	if (!t1_race_usable())
		T1_SKIP("%s", T1_RACE_HINT);
	if (!vtest)
		T1_SKIP("%s", T1_VTEST_HINT);
	if (!t1_tables_visible())
		T1_SKIP("%s", T1_TABLES_HINT);
	self->bdf = t1_require(T1_EDU, 0);
	t1_container_open(&self->c);
	t1_vtest_open(&self->vtest, &self->c, vtest);
	t1_target_open(&self->target, target, 2, 0);
	t1_map(&self->c, self->target.mem, IOVA, SIZE, T1_RW);
}

FIXTURE_TEARDOWN(domain)
{
	t1_target_close(&self->target);
	t1_vtest_close(&self->vtest);
	t1_container_close(&self->c);
}

struct attachment {
	struct t1_device *dev;
	struct t1_container *c;
	const char *bdf;
};

/* What is delayed: calls for t1_race_begin() */

static void attach(void *arg)
{
	struct attachment *a = arg;

	t1_device_open(a->dev, a->c, a->bdf);
}

static void detach(void *dev)
{
	t1_device_close(dev);
}

/* The mapping goes and comes with the target's memory, for edu as well. */
#define expect_follows() do {						\
	EXPECT_EQ(1, t1_told(&self->c, "vfio-peer-suspended"));		\
	EXPECT_FALSE(t1_translates(self->bdf, IOVA));			\
	t1_set_memory(&self->target.dev, true);				\
	EXPECT_EQ(0, t1_told(&self->c, "vfio-peer-suspended"));		\
	EXPECT_TRUE(t1_translates(self->bdf, IOVA));			\
} while (0)

/* The first domain is in the space's list when what was mapped before it gets there. */
TEST_F(domain, memory_off_while_first_domain_is_filled)
{
	struct attachment a = { &self->edu, &self->c, self->bdf };
	struct t1_race race;

	if (t1_has_function("vfio_range_map_domain"))
		t1_race_begin(&race, "vfio_range_map_domain", "", attach, &a);
	else
		t1_race_begin(&race, "iommu_map", "vfio_range_map", attach, &a);
	t1_set_memory(&self->target.dev, false);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	expect_follows();
	t1_device_close(&self->edu);
}

/* Nobody maps or unmaps in a domain while a group is attached to it. */
TEST_F(domain, memory_off_while_second_group_is_attached)
{
	struct attachment a = { &self->edu, &self->c, self->bdf };
	struct t1_device other;
	struct t1_race race;

	t1_device_open(&other, &self->c, t1_require(T1_EDU, 1));
	t1_race_begin(&race, "iommu_attach_group", "vfio_peer_attach_group", attach, &a);
	t1_set_memory(&self->target.dev, false);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	expect_follows();
	t1_device_close(&self->edu);
	t1_device_close(&other);
}

/* With its last group the domain is forgotten, in one step: no walk unmaps in it then. */
TEST_F(domain, release_while_last_group_goes)
{
	struct t1_race race;

	t1_device_open(&self->edu, &self->c, self->bdf);
	t1_race_begin(&race, "iommu_detach_group", "vfio_peer_detach_group", detach, &self->edu);
	t1_target_close(&self->target);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	t1_target_open(&self->target, t1_find(T1_IVSHMEM, 0), 2, 0);
}

/*
 * A group that cannot use a domain of others gets one of its own. This gets the ranges of
 * the first one by one: what is at LOW, then RAM, which is where these tests stop it,
 * then what is at IOVA. Meanwhile the lock of the space is free.
 */
#define LOW	(T1_RIG_RAM / 2)

struct two {
	struct t1_rig rig;
	const char *edu, *bdf;	/* of the rig, and of the group that comes */
	int group;
	pid_t tid;		/* of who attaches it */
	int error;
};

FIXTURE(second) {
	struct two two;
	struct t1_target target;
};

FIXTURE_SETUP(second)
{
	const char *target = t1_require(T1_IVSHMEM, 0);
	struct two *two = &self->two;
	char path[32];

	two->edu = t1_require(T1_EDU, 0);
	two->bdf = t1_require(T1_EDU, 1);
	if (!t1_race_usable())
		T1_SKIP("%s", T1_RACE_HINT);
	if (!t1_tables_visible())
		T1_SKIP("%s", T1_TABLES_HINT);
	if (__t1_fail_setup())
		T1_SKIP("%s", T1_FAIL_HINT);
	t1_rig_open(&two->rig, two->edu);
	t1_target_open(&self->target, target, 2, 0);
	t1_map(&two->rig.c, self->target.mem, LOW, SIZE, T1_RW);
	t1_map(&two->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	snprintf(path, sizeof(path), "/dev/vfio/%d", t1_group_of(two->bdf));
	two->group = open(path, O_RDWR);
	ASSERT_LE(0, two->group);
}

FIXTURE_TEARDOWN(second)
{
	t1_fail_kinds(true, true);
	t1_fail_function(NULL);
	close(self->two.group);
	t1_target_close(&self->target);
	t1_rig_close(&self->two.rig);
}

static void attach_second(void *arg)
{
	struct two *two = arg;

	two->tid = gettid();
	two->error = ioctl(two->group, VFIO_GROUP_SET_CONTAINER, &two->rig.c.fd) ? errno : 0;
}

static void begin_attach(struct two *two, struct t1_race *race)
{
	static const char * const callers[] = {
		"vfio_replay_mapped", "vfio_iommu_replay", "vfio_iommu_type1_attach_group",
	};
	unsigned int i = 0;

	while (!t1_has_function(callers[i]))
		T1_ASSERT(++i < ARRAY_SIZE(callers));
	t1_fail_function("vfio_peer_attach_group");
	t1_race_begin_free(race, "iommu_iova_to_phys", callers[i], attach_second, two);
}

/* Both devices have both mappings, or neither has any. */
static bool all_translate(struct two *two)
{
	return t1_translates(two->edu, LOW) && t1_translates(two->edu, IOVA) &&
	       t1_translates(two->bdf, LOW) && t1_translates(two->bdf, IOVA);
}

static bool none_translates(struct two *two)
{
	return !t1_translates(two->edu, LOW) && !t1_translates(two->edu, IOVA) &&
	       !t1_translates(two->bdf, LOW) && !t1_translates(two->bdf, IOVA);
}

TEST_F(second, memory_off_between_ranges)
{
	struct t1_race race;

	begin_attach(&self->two, &race);
	EXPECT_FALSE(t1_translates(self->two.bdf, IOVA));
	t1_set_memory(&self->target.dev, false);
	EXPECT_TRUE(t1_race_overtaken());
	EXPECT_TRUE(none_translates(&self->two));
	t1_race_end(&race);
	EXPECT_EQ(0, self->two.error);
	EXPECT_TRUE(none_translates(&self->two));
	t1_set_memory(&self->target.dev, true);
	EXPECT_TRUE(all_translate(&self->two));
}

/* What comes back meanwhile has come to the new domain, too. */
TEST_F(second, memory_off_and_on_between_ranges)
{
	struct t1_race race;

	begin_attach(&self->two, &race);
	t1_set_memory(&self->target.dev, false);
	t1_set_memory(&self->target.dev, true);
	EXPECT_TRUE(t1_race_overtaken());
	EXPECT_TRUE(all_translate(&self->two));
	t1_race_end(&race);
	EXPECT_EQ(0, self->two.error);
	EXPECT_EQ(0, t1_told(&self->two.rig.c, "vfio-peer-suspended"));
	EXPECT_TRUE(all_translate(&self->two));
	t1_set_memory(&self->target.dev, false);
	EXPECT_TRUE(none_translates(&self->two));
	t1_set_memory(&self->target.dev, true);
}

/*
 * If it cannot come to the new domain then, the group is not attached. The others have
 * it back: the IOMMU's page tables are there, but not yet for what is at IOVA.
 */
TEST_F(second, failure_in_new_domain)
{
	struct t1_race race;

	begin_attach(&self->two, &race);
	t1_set_memory(&self->target.dev, false);
	t1_fail_kinds(false, true);
	t1_fail_nth(1);
	t1_set_memory(&self->target.dev, true);
	EXPECT_TRUE(t1_failed());
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(ENOMEM, self->two.error);
	EXPECT_EQ(2, t1_told(&self->two.rig.c, "vfio-peer-ranges"));
	EXPECT_EQ(0, t1_told(&self->two.rig.c, "vfio-peer-suspended"));
	EXPECT_TRUE(t1_translates(self->two.edu, LOW));
	EXPECT_TRUE(t1_translates(self->two.edu, IOVA));
	EXPECT_FALSE(t1_translates(self->two.bdf, LOW));
}

/* What was mapped before, and cannot come to the new domain */
TEST_F(second, no_memory_to_fill)
{
	struct two *two = &self->two;
	bool more = true;
	int nth;

	t1_for_each_failure(nth, more) {
		struct t1_race race;

		begin_attach(two, &race);
		t1_fail_nth_of(two->tid, nth);
		EXPECT_TRUE(t1_race_overtaken());
		t1_race_end(&race);
		more = two->error;
		EXPECT_TRUE(!more || two->error == ENOMEM);
		EXPECT_TRUE(t1_translates(two->edu, LOW));
		EXPECT_TRUE(t1_translates(two->edu, IOVA));
		if (more)
			EXPECT_FALSE(t1_translates(two->bdf, LOW));
	}
	TH_LOG("%d allocations failed", nth - 2);
	EXPECT_LT(nth, T1_MAX_NTH);
	EXPECT_LT(3, nth);
	EXPECT_TRUE(all_translate(two));
	t1_fail_spare();
}

TEST_F(second, release_between_ranges)
{
	struct t1_race race;

	begin_attach(&self->two, &race);
	/* This may wait for all CPUs. */
	t1_target_close(&self->target);
	EXPECT_TRUE(none_translates(&self->two));
	t1_race_end(&race);
	EXPECT_EQ(0, self->two.error);
	EXPECT_TRUE(none_translates(&self->two));
	EXPECT_EQ(self->two.rig.avail - 1, t1_dma_avail(&self->two.rig.c));
	t1_target_open(&self->target, t1_find(T1_IVSHMEM, 0), 2, 0);
}

/* A group whose last device is going has no file any more, and takes no container. */
static void remove_driver(void *bdf)
{
	t1_write_file("/sys/bus/pci/drivers/vfio-pci/unbind", bdf);
}

TEST(attach_while_group_is_removed)
{
	const char *bdf = t1_require(T1_IVSHMEM, 1);
	struct t1_container c;
	struct t1_race race;
	struct stat st;
	char path[32];
	int group;

	if (!t1_race_usable())
		T1_SKIP("%s", T1_RACE_HINT);
	snprintf(path, sizeof(path), "/dev/vfio/%d", t1_group_of(bdf));
	ASSERT_EQ(0, stat(path, &st));
	group = open(path, O_RDWR);
	ASSERT_LE(0, group);
	t1_container_open(&c);
	t1_race_begin_free(&race, "cdev_device_del", "", remove_driver, (void *)bdf);
	EXPECT_EQ(-1, ioctl(group, VFIO_GROUP_SET_CONTAINER, &c.fd));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(-1, ioctl(group, VFIO_GROUP_SET_CONTAINER, &c.fd));
	EXPECT_EQ(ENODEV, errno);
	close(group);
	t1_container_close(&c);
	t1_write_file("/sys/bus/pci/drivers/vfio-pci/bind", bdf);
	EXPECT_EQ(0, chown(path, st.st_uid, st.st_gid));
}

/* KVM asks whether the IOMMU of a group enforces coherency. */
struct kvm_call {
	int kvm;
	int group;
	pid_t tid;
	int error;
};

static void *add_to_kvm(void *arg)
{
	struct kvm_create_device dev = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_call *call = arg;
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_GROUP,
		.attr = KVM_DEV_VFIO_GROUP_ADD,
		.addr = (unsigned long)&call->group,
	};
	int vm = ioctl(call->kvm, KVM_CREATE_VM, 0);

	T1_ASSERT(vm >= 0);
	T1_ASSERT(!ioctl(vm, KVM_CREATE_DEVICE, &dev));
	__atomic_store_n(&call->tid, gettid(), __ATOMIC_RELEASE);
	call->error = ioctl(dev.fd, KVM_SET_DEVICE_ATTR, &attr) ? errno : 0;
	close(dev.fd);
	close(vm);
	return NULL;
}

/* Nobody who closes a device waits until its container's user lets KVM have the answer. */
TEST(coherency_of_busy_container)
{
	const char *bdf = t1_require(T1_IVSHMEM, 1);
	struct kvm_call call = {};
	char path[32];
	struct t1_container c;
	struct t1_device dev;
	struct t1_group *group;
	struct t1_busy busy;
	pthread_t thread;
	void *ram;

	if (system("modprobe -q kvm_amd || modprobe -q kvm_intel"))
		TH_LOG("KVM, if it is there, is no module");
	call.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (call.kvm < 0)
		SKIP(return, "no KVM: CONFIG_KVM_AMD=m or CONFIG_KVM_INTEL=m");
	t1_container_open(&c);
	t1_device_open(&dev, &c, bdf);
	ASSERT_EQ(0, __t1_group_get(&c, t1_group_of(bdf), &group));
	ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, ram);
	t1_map(&c, ram, IOVA, SIZE, T1_RW);
	if (__t1_busy_begin(&busy, &c, IOVA, SIZE))
		SKIP(return, T1_STALL_HINT);

	call.group = group->fd;
	ASSERT_EQ(0, pthread_create(&thread, NULL, add_to_kvm, &call));
	t1_wait_blocked(&call.tid);
	/* With the lock of the group held, it would not return. */
	t1_device_close(&dev);
	t1_busy_end(&busy);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, call.error);

	t1_unmap(&c, IOVA, SIZE);
	munmap(ram, SIZE);
	t1_group_put(group);
	t1_container_close(&c);

	/* There is nobody to be asked. */
	snprintf(path, sizeof(path), "/dev/vfio/%d", t1_group_of(bdf));
	call.group = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, call.group);
	add_to_kvm(&call);
	EXPECT_EQ(0, call.error);
	close(call.group);
	close(call.kvm);
}

/* Two functions that are reset together */

FIXTURE(reset) {
	struct t1_rig rig;
	struct t1_container c;
	struct t1_device devs[2];
	void *mem;	/* of the second one */
	const char *edu;
};

FIXTURE_SETUP(reset)
{
	if (!t1_race_usable())
		T1_SKIP("%s", T1_RACE_HINT);
	self->edu = t1_require(T1_EDU, 0);
	if (!t1_find_multi(T1_E1000E, 2, 1))
		T1_SKIP("no group with 2 of it: %s", t1_find_hint(T1_E1000E));
	t1_rig_open(&self->rig, self->edu);
	t1_container_open(&self->c);
	for (int i = 0; i < 2; i++)
		t1_device_open(&self->devs[i], &self->c, t1_find_multi(T1_E1000E, 2, i));
	self->mem = t1_bar_mmap(&self->devs[1], 0, 0, SIZE);
	t1_map(&self->rig.c, self->mem, IOVA, SIZE, T1_RW);
	t1_unmap(&self->rig.c, IOVA, SIZE);
}

FIXTURE_TEARDOWN(reset)
{
	EXPECT_EQ(1, t1_told(&self->rig.c, "vfio-peer-ranges"));
	EXPECT_EQ(0, t1_told(&self->rig.c, "vfio-peer-suspended"));
	t1_unmap(&self->rig.c, IOVA, SIZE);
	munmap(self->mem, SIZE);
	t1_device_close(&self->devs[0]);
	t1_device_close(&self->devs[1]);
	t1_container_close(&self->c);
	t1_rig_close(&self->rig);
}

static void hot_reset(void *arg)
{
	struct t1_device *dev = arg;

	T1_ASSERT_OK(__t1_hot_reset(dev, &dev->group->fd, 1));
}

/* All functions are blocked before the first is reset, not only the one that was named. */
TEST_F(reset, map_during_hot_reset)
{
	struct t1_race race;

	t1_race_begin_free(&race, "pci_reset_bus", "", hot_reset, &self->devs[0]);
	t1_map(&self->rig.c, self->mem, IOVA, SIZE, T1_RW);
	EXPECT_TRUE(t1_race_overtaken());
	EXPECT_EQ(1, t1_told(&self->rig.c, "vfio-peer-suspended"));
	t1_race_end(&race);
}

/* All of it happens between the begin of a map and its look at the mark. */
TEST_F(reset, hot_reset_during_map)
{
	struct t1_map_call m = { &self->rig.c, self->mem, IOVA, SIZE };
	struct t1_race race;

	t1_race_begin_free(&race, "mutex_lock", "vfio_peer_map", t1_map_call, &m);
	hot_reset(&self->devs[0]);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
}

TEST_HARNESS_MAIN
