// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races of PASIDs of devices and of address spaces, on purpose: a call is delayed
 * where it matters, and another one comes in between. Each window belongs to a rule in
 * the head comments of drivers/vfio/pasid_use.c and space.c. What was changed, to see
 * the test fail:
 *
 *	free_before_reference	   pasid_get() finds what is not live
 *	cut_before_worker	   vfio_pasid_enter() without a look at the mark
 *	number_while_device_stops  pasid_put() before pasid_detach()
 *	free_while_detaching	   the same
 *	access_while_detaching	   no wait for .running
 *	device_goes_before_worker  no cancel_work_sync()
 *	group_goes_while_creating  vfio_space_create() without group_lock
 *	group_goes_during_ioctl	   vfio_space_backend_get() without a reference
 *	file_goes_while_attaching  vfio_space_get() without a reference
 *	group_goes_during_close	   vfio_space_take() does not clear .backend
 *
 * Fails on stock 6.1, which has none of these functions.
 */
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_delay.h"
#include "../lib/type1_file.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_vtest.h"

#define IOVA	0x1000000UL
#define PASID	5

/* Two containers with a device each; the first one has a space with memory */
FIXTURE(window) {
	struct t1_container c, other, space;
	struct t1_vtest dev, other_dev;
	const char *name, *other_name;
	void *ram;
};

FIXTURE_SETUP(window)
{
	if (!t1_race_usable())
		T1_SKIP("%s", T1_RACE_HINT);
	self->name = t1_vtest_find(0);
	self->other_name = t1_vtest_find(1);
	if (!self->name || !self->other_name)
		T1_SKIP("%s", T1_VTEST_HINT);
	t1_container_open(&self->c);
	t1_container_open(&self->other);
	t1_vtest_open(&self->dev, &self->c, self->name);
	t1_vtest_open(&self->other_dev, &self->other, self->other_name);
	self->ram = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->ram);
	t1_space_create(&self->c, &self->space);
	t1_map(&self->space, self->ram, IOVA, T1_PAGE, T1_RW);
	t1_pasid_alloc(&self->c, PASID, PASID);
}

/* Nothing is lost: the other container gets the number. */
FIXTURE_TEARDOWN(window)
{
	close(self->space.fd);
	t1_vtest_close(&self->dev);
	t1_container_close(&self->c);
	munmap(self->ram, T1_PAGE);
	__t1_pasid_free(&self->other, PASID, PASID);
	EXPECT_EQ(PASID, __t1_pasid_alloc(&self->other, PASID, PASID));
	t1_vtest_close(&self->other_dev);
	t1_container_close(&self->other);
}

/* What is delayed: calls for t1_race_begin() */

static void free_it(void *c)
{
	T1_ASSERT(__t1_pasid_free(c, PASID, PASID) == 1);
}

struct attach {
	struct t1_vtest *dev;
	struct t1_container *space;
	int ret;
};

static void attach(void *arg)
{
	struct attach *a = arg;

	a->ret = __t1_pasid_attach(a->dev, PASID, a->space->fd);
}

static void detach(void *dev)
{
	T1_ASSERT_OK(__t1_pasid_detach(dev, PASID));
}

struct create {
	struct t1_container *c, space;
	int ret;
};

static void create(void *arg)
{
	struct create *create = arg;

	create->ret = __t1_space_create(create->c, &create->space);
}

static void map_more(void *space)
{
	int ret = __t1_map(space, NULL, 2 * IOVA, T1_PAGE, T1_RW);

	T1_ASSERT(!ret || ret == -ENODEV);
}

static void close_it(void *space)
{
	close(((struct t1_container *)space)->fd);
}

/* May the device use the PASID? It has to find out by itself. */
static int try_access(struct t1_vtest *dev)
{
	return t1_job(dev, PASID, VFIO_TEST_WRITE, IOVA, 4);
}

/* The device does not use it, and anybody gets the number: the call looks for what is freed. */
#define expect_unused() do {						\
	EXPECT_EQ(-ENOENT, __t1_pasid_detach(&self->dev, PASID));	\
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(&self->dev));		\
	EXPECT_EQ(PASID, __t1_pasid_alloc(&self->other, PASID, PASID));	\
} while (0)

/* Any container of the owner frees it. Here the device is not linked to it yet. */
TEST_F(window, free_before_reference)
{
	struct attach a = { &self->dev, &self->space };
	struct t1_race race;

	t1_pasid_alloc(&self->other, PASID + 1, PASID + 1);
	t1_race_begin_free(&race, "pasid_get", "", attach, &a);
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(&self->dev));
	EXPECT_EQ(1, __t1_pasid_free(&self->other, PASID, PASID));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(-ENOENT, a.ret);
	EXPECT_EQ(0, t1_told(&self->space, "vfio-pasids-attached"));
	expect_unused();
}

/* A device has stopped before anybody gets the number, and is cut off before that. */
TEST_F(window, number_while_device_stops)
{
	struct t1_race race;

	t1_pasid_attach(&self->dev, PASID, self->space.fd);
	ASSERT_EQ(VFIO_TEST_DONE, try_access(&self->dev));
	t1_race_begin_free_work(&race, "vfio_test_pasid_detach", free_it, &self->c);
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(&self->dev));
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(&self->other, PASID, PASID));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	expect_unused();
}

/* Freed, the device is cut off at once, though the worker has not come to that. */
TEST_F(window, cut_before_worker)
{
	struct t1_race race;

	t1_pasid_attach(&self->dev, PASID, self->space.fd);
	t1_race_begin_free_work(&race, "vfio_pasid_uses_work", free_it, &self->c);
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(&self->dev));
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(&self->other, PASID, PASID));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	expect_unused();
}

/* Detaching is no different, and then the PASID is its owner's still. */
TEST_F(window, free_while_detaching)
{
	struct t1_race race;

	t1_pasid_attach(&self->dev, PASID, self->space.fd);
	t1_race_begin_free(&race, "vfio_test_pasid_detach", "", detach, &self->dev);
	free_it(&self->c);
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(&self->other, PASID, PASID));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	expect_unused();
}

/* The device's thread has the name of the device. */
static pid_t find_thread(const char *name)
{
	char comm[32];
	pid_t pid = 0;
	glob_t found;
	size_t i;

	T1_ASSERT(!glob("/proc/[0-9]*/comm", 0, NULL, &found));
	for (i = 0; i < found.gl_pathc && !pid; i++) {
		if (access(found.gl_pathv[i], R_OK))
			continue;
		t1_read_file(found.gl_pathv[i], comm, sizeof(comm));
		if (!strncmp(comm, name, strlen(name)) && comm[strlen(name)] == '\n')
			pid = atoi(found.gl_pathv[i] + strlen("/proc/"));
	}
	globfree(&found);
	return pid;
}

static void start_access(void *dev)
{
	T1_ASSERT_OK(__t1_job_start(dev, PASID, VFIO_TEST_READ, IOVA, 4));
}

/* An access that has begun is over when the PASID is detached. */
TEST_F(window, access_while_detaching)
{
	struct t1_race race;

	t1_pasid_attach(&self->dev, PASID, self->space.fd);
	t1_race_delay_thread(find_thread(self->name));
	t1_race_begin(&race, "vfio_iommu_type1_dma_rw", "", start_access, &self->dev);
	detach(&self->dev);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(1, __t1_pasid_free(&self->c, PASID, PASID));
	expect_unused();
}

static void write_driver(const char *file, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/bus/platform/drivers/vfio-test/%s", file);
	t1_write_file(path, name);
}

/* The user of the device's group is the same afterwards. */
static void make_anew(const char *name)
{
	struct stat stat_before;
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%d", t1_vtest_group(name));
	T1_ASSERT(!stat(path, &stat_before));
	write_driver("unbind", name);
	write_driver("bind", name);
	snprintf(path, sizeof(path), "/dev/vfio/%d", t1_vtest_group(name));
	T1_ASSERT(!chown(path, stat_before.st_uid, stat_before.st_gid));
}

/* The device's worker has come to an end before the device can go away. */
TEST_F(window, device_goes_before_worker)
{
	struct t1_race race;

	t1_pasid_attach(&self->dev, PASID, self->space.fd);
	t1_race_begin_work(&race, "vfio_pasid_uses_work", free_it, &self->c);
	t1_vtest_close(&self->dev);
	EXPECT_FALSE(t1_race_overtaken());
	make_anew(self->name);
	t1_race_end(&race);
	t1_vtest_open(&self->dev, &self->c, self->name);
}

/* The last group leaves before or after a space is made, and the space dies in both cases. */
TEST_F(window, group_goes_while_creating)
{
	struct create new = { &self->c };
	struct t1_race race;

	t1_race_begin(&race, "vfio_iommu_type1_space_open", "", create, &new);
	t1_vtest_close(&self->dev);
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(0, new.ret);
	EXPECT_EQ(-ENODEV, __t1_map(&new.space, self->ram, IOVA, T1_PAGE, T1_RW));
	close(new.space.fd);
	t1_vtest_open(&self->dev, &self->c, self->name);
}

/* What a call has begun, it ends; nobody waits for it, and nothing of it is left. */
TEST_F(window, group_goes_during_ioctl)
{
	struct t1_race race;

	t1_race_begin_free(&race, "vfio_iommu_type1_ioctl", "vfio_space_ioctl", map_more,
			   &self->space);
	t1_vtest_close(&self->dev);
	EXPECT_EQ(-ENODEV, __t1_map(&self->space, self->ram, 3 * IOVA, T1_PAGE, T1_RW));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	t1_vtest_open(&self->dev, &self->c, self->name);
}

/* A PASID is attached to what the file was when the call began. */
TEST_F(window, file_goes_while_attaching)
{
	struct attach a = { &self->dev, &self->space };
	struct t1_race race;

	t1_race_begin_free(&race, "vfio_iommu_type1_space_attach", "", attach, &a);
	close(self->space.fd);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_EQ(0, a.ret);
	EXPECT_EQ(VFIO_TEST_DONE, try_access(&self->dev));
	EXPECT_EQ(1, t1_told(&self->c, "vfio-spaces"));
	detach(&self->dev);
	EXPECT_EQ(0, t1_told(&self->c, "vfio-spaces"));
	t1_space_create(&self->c, &self->space);
}

/* A file that is being closed, and the last group, take one reference. */
TEST_F(window, group_goes_during_close)
{
	struct t1_race race;

	t1_race_begin_free(&race, "vfio_space_release", "", close_it, &self->space);
	t1_vtest_close(&self->dev);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	t1_vtest_open(&self->dev, &self->c, self->name);
	t1_space_create(&self->c, &self->space);
}

TEST_HARNESS_MAIN
