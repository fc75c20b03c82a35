// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation fails once where VFIO gets a device and where a container first
 * hears of it. Whatever happens, it is done or nothing of it is.
 *
 * Needs root and CONFIG_FAULT_INJECTION, CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC.
 */
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_fail.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_vtest.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL

FIXTURE(fail) {};
FIXTURE_SETUP(fail)
{
	if (__t1_fail_setup())
		T1_SKIP("%s", T1_FAIL_HINT);
}

FIXTURE_TEARDOWN(fail) {}

/*
 * Bind a device again and again. The file of its group is made anew each time: its
 * owner shall have it as before.
 */
static void bind_fails(struct __test_metadata *_metadata, const char *driver,
		       const char *device, int (*group_of)(const char *device))
{
	int nth, ret = -1, failures = 0;
	char bind[64], unbind[64], group[32];
	struct stat owner;
	bool more;

	snprintf(bind, sizeof(bind), "/sys/bus/%s/bind", driver);
	snprintf(unbind, sizeof(unbind), "/sys/bus/%s/unbind", driver);
	snprintf(group, sizeof(group), "/dev/vfio/%d", group_of(device));
	ASSERT_EQ(0, stat(group, &owner));
	ASSERT_EQ(0, __t1_write_file(unbind, device));
	t1_for_each_failure(nth, more) {
		t1_fail_nth(nth);
		ret = __t1_write_file(bind, device);
		more = t1_failed();
		failures += !!ret;
		if (!ret && more)
			ASSERT_EQ(0, __t1_write_file(unbind, device));
	}
	TH_LOG("%d allocations failed, %d times not bound", nth - 2, failures);
	EXPECT_LT(nth, T1_MAX_NTH);
	EXPECT_LT(5, failures);
	ASSERT_EQ(0, ret);
	snprintf(group, sizeof(group), "/dev/vfio/%d", group_of(device));
	EXPECT_EQ(0, chown(group, owner.st_uid, owner.st_gid));
}

TEST_F(fail, bind)
{
	const char *bdf = t1_require(T1_IVSHMEM, 1);
	struct t1_container c;
	struct t1_device dev;

	bind_fails(_metadata, "pci/drivers/vfio-pci", bdf, t1_group_of);
	t1_container_open(&c);
	t1_device_open(&dev, &c, bdf);
	t1_device_close(&dev);
	t1_container_close(&c);
}

TEST_F(fail, bind_without_hardware)
{
	const char *name = t1_vtest_find(0);

	if (!name)
		SKIP(return, T1_VTEST_HINT);
	bind_fails(_metadata, "platform/drivers/vfio-test", name, t1_vtest_group);
}

/* A container that has not mapped memory of this device before */
TEST_F(fail, first_map)
{
	const char *other = t1_require(T1_IVSHMEM, 1);
	struct t1_target target;
	struct t1_container c;
	struct t1_group *group;
	int nth, ret = -1;
	bool more;
	char *bar;

	t1_target_open(&target, t1_require(T1_IVSHMEM, 0), 2, 0);
	bar = (char *)target.mem;
	t1_for_each_failure(nth, more) {
		t1_container_open(&c);
		ASSERT_EQ(0, __t1_group_get(&c, t1_group_of(other), &group));
		t1_fail_nth(nth);
		ret = __t1_map(&c, bar, IOVA, SIZE, T1_RW);
		more = t1_failed();
		EXPECT_TRUE(!ret || (more && ret == -ENOMEM));
		/* What failed has left nothing in the way. */
		if (ret)
			t1_map(&c, bar, IOVA, SIZE, T1_RW);
		t1_unmap(&c, IOVA, SIZE);
		t1_group_put(group);
		t1_container_close(&c);
	}
	TH_LOG("%d allocations failed", nth - 2);
	EXPECT_EQ(0, ret);
	EXPECT_LT(3, nth);
	t1_target_close(&target);
}

/* What it takes to be quick may fail, the call may not. */
TEST_F(fail, unmap)
{
	struct t1_rig rig;
	__u64 locked, size;
	int nth, failed = 0;
	bool more;
	char *ram;

	t1_rig_open(&rig, t1_require(T1_EDU, 0));
	ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
		   -1, 0);
	ASSERT_NE(MAP_FAILED, ram);
	locked = t1_locked_kib();
	t1_for_each_failure(nth, more) {
		t1_map(&rig.c, ram, IOVA, SIZE, T1_RW);
		t1_fail_nth(nth);
		EXPECT_EQ(0, __t1_unmap(&rig.c, IOVA, SIZE, &size));
		more = t1_failed();
		failed += more;
		EXPECT_EQ(SIZE, size);
		EXPECT_EQ(locked, t1_locked_kib());
		EXPECT_FALSE(t1_rig_translates(&rig, IOVA));
	}
	TH_LOG("%d allocations failed", failed);
	EXPECT_LT(0, failed);
	EXPECT_LT(nth, T1_MAX_NTH);
	munmap(ram, SIZE);
	t1_rig_close(&rig);
}

TEST_HARNESS_MAIN
