// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VFIO device has an inode, from its registration with a driver to the end of
 * the last file or mapping. User space never sees it, only that none is left
 * behind: inodes are counted in /proc/sys/fs/inode-nr, references to the module
 * in /sys/module. These tests pass on stock 6.1, where nothing is there to leak, but
 * for the one whose time is over there.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_log.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_stall.h"
#include "../lib/type1_touch.h"

#define PAGE	4096
#define CYCLES	100
/* What else the machine does meanwhile, for a leak of CYCLES to stand out */
#define SLACK	(CYCLES / 3)

static long read_number(const char *path)
{
	FILE *f = fopen(path, "r");
	long value = -1;

	if (!f || fscanf(f, "%ld", &value) != 1)
		value = -1;
	if (f)
		fclose(f);
	return value;
}

static long inodes(void)
{
	/* Only root can; others have to do with the slack. */
	__t1_write_file("/proc/sys/vm/drop_caches", "2");
	return read_number("/proc/sys/fs/inode-nr");
}

static long module_users(void)
{
	return read_number("/sys/module/vfio/refcnt");
}

FIXTURE(inode) {
	struct t1_container container;
	struct t1_device dev;
	const char *bdf;
};

FIXTURE_SETUP(inode)
{
	self->bdf = t1_require(T1_IVSHMEM, 0);
	touch_init();
	t1_container_open(&self->container);
}

FIXTURE_TEARDOWN(inode)
{
	t1_container_close(&self->container);
}

TEST_F(inode, open_and_close)
{
	long inodes_before, users_before;
	void *map;
	int i;

	t1_device_open(&self->dev, &self->container, self->bdf);
	t1_device_close(&self->dev);
	inodes_before = inodes();
	users_before = module_users();
	for (i = 0; i < CYCLES; i++) {
		t1_device_open(&self->dev, &self->container, self->bdf);
		map = t1_bar_mmap(&self->dev, 2, 0, PAGE);
		ASSERT_TRUE(touch_works(map, i));
		close(t1_device_reopen(&self->dev));
		ASSERT_EQ(0, munmap(map, PAGE));
		t1_device_close(&self->dev);
	}
	EXPECT_GE(inodes_before + SLACK, inodes());
	EXPECT_EQ(users_before, module_users());
}

/* The mapping keeps the device open, and the group with it. */
TEST_F(inode, mapping_outlives_files)
{
	struct t1_container second;
	struct t1_group *group;
	char *map;

	t1_device_open(&self->dev, &self->container, self->bdf);
	map = t1_bar_mmap(&self->dev, 2, 0, 2 * PAGE);
	ASSERT_TRUE(touch_works(map, 0x1234));
	t1_device_close(&self->dev);
	EXPECT_TRUE(touch_works(map, 0x5678));
	EXPECT_EQ(1, touch_works(map + PAGE, 0x9abc));

	t1_container_open(&second);
	EXPECT_EQ(-EBUSY, __t1_group_get(&second, t1_group_of(self->bdf), &group));
	/* One page of it is enough. */
	ASSERT_EQ(0, munmap(map, PAGE));
	EXPECT_EQ(-EBUSY, __t1_group_get(&second, t1_group_of(self->bdf), &group));
	ASSERT_EQ(0, munmap(map + PAGE, PAGE));
	ASSERT_EQ(0, __t1_group_get(&second, t1_group_of(self->bdf), &group));
	t1_group_put(group);
	t1_container_close(&second);
}

/* A child that is killed with the mapping leaves nothing. */
TEST_F(inode, killed_process)
{
	struct t1_container second;
	struct t1_device dev;
	int status;
	void *map;
	pid_t pid;
	int i;

	for (i = 0; i < 10; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			t1_container_open(&second);
			t1_device_open(&dev, &second, self->bdf);
			map = t1_bar_mmap(&dev, 2, 0, PAGE);
			T1_ASSERT(touch_works(map, i));
			raise(SIGKILL);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
	}
	t1_device_open(&self->dev, &self->container, self->bdf);
	t1_device_close(&self->dev);
}

/* The group file is made anew: let its owner have it as before. */
static bool rebind(const char *bdf)
{
	struct stat st;
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%d", t1_group_of(bdf));
	return !stat(path, &st) &&
	       !__t1_write_file("/sys/bus/pci/drivers/vfio-pci/unbind", bdf) &&
	       !__t1_write_file("/sys/bus/pci/drivers/vfio-pci/bind", bdf) &&
	       !chown(path, st.st_uid, st.st_gid);
}

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

/* Forget what others leaked. False without kmemleak, or after it gave up. */
static bool kmemleak_start(void)
{
	if (__t1_write_file(KMEMLEAK, "scan"))
		return false;
	t1_write_file(KMEMLEAK, "clear");
	return true;
}

static bool kmemleak_found(void)
{
	bool any = false;
	char line[256];
	FILE *f;

	/* It does not report what is younger than some seconds. */
	sleep(6);
	t1_write_file(KMEMLEAK, "scan");
	t1_write_file(KMEMLEAK, "scan");
	f = fopen(KMEMLEAK, "r");
	T1_ASSERT(f);
	while (fgets(line, sizeof(line), f)) {
		fprintf(stderr, "# %s", line);
		any = true;
	}
	fclose(f);
	return any;
}

TEST_F_TIMEOUT(inode, rebind, 600)
{
	long inodes_before, users_before;
	bool kmemleak;
	int i;

	if (geteuid())
		T1_SKIP("only root can bind devices");
	kmemleak = kmemleak_start();
	/* The first few fill caches. */
	for (i = 0; i < CYCLES / 5; i++)
		ASSERT_TRUE(rebind(self->bdf));
	inodes_before = inodes();
	users_before = module_users();
	for (i = 0; i < CYCLES; i++)
		ASSERT_TRUE(rebind(self->bdf));
	TH_LOG("%ld inodes, then %ld", inodes_before, inodes());
	EXPECT_GE(inodes_before + SLACK, inodes());
	EXPECT_EQ(users_before, module_users());
	if (!kmemleak)
		TH_LOG("without kmemleak");
	EXPECT_FALSE(kmemleak && kmemleak_found());
	t1_device_open(&self->dev, &self->container, self->bdf);
	t1_device_close(&self->dev);
}

static void *rebind_thread(void *bdf)
{
	T1_ASSERT(rebind(bdf));
	return NULL;
}

/*
 * The user of a group keeps the host waiting who unbinds its device, and nobody else
 * who binds one. The time-out of the test is what catches it.
 */
TEST_F(inode, rebind_while_another_waits)
{
	const char *other = t1_require(T1_IVSHMEM, 1);
	int group_id = t1_group_of(self->bdf);
	struct t1_group *group;
	struct t1_busy busy;
	pthread_t thread;
	void *ram;

	if (geteuid())
		T1_SKIP("only root can bind devices");
	ram = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, ram);
	ASSERT_EQ(0, __t1_group_get(&self->container, group_id, &group));
	t1_map(&self->container, ram, PAGE, PAGE, T1_RW);
	if (__t1_busy_begin(&busy, &self->container, PAGE, PAGE))
		SKIP(return, T1_STALL_HINT);
	T1_ASSERT(!pthread_create(&thread, NULL, rebind_thread, (void *)self->bdf));
	/* Its file goes first */
	while (t1_group_usable(group_id))
		usleep(1000);

	EXPECT_TRUE(rebind(other));
	t1_busy_end(&busy);
	pthread_join(thread, NULL);
	t1_group_put(group);
	munmap(ram, PAGE);
}

/* Who has the device open is asked to let go of it. */
TEST_F(inode, request)
{
	pthread_t thread;
	__u64 count;
	int fd;

	if (geteuid())
		T1_SKIP("only root can bind devices");
	fd = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, fd);
	t1_device_open(&self->dev, &self->container, self->bdf);
	ASSERT_EQ(0, __t1_trigger(&self->dev, VFIO_PCI_REQ_IRQ_INDEX, VFIO_IRQ_SET_DATA_EVENTFD,
				  1, &fd));
	T1_ASSERT(!pthread_create(&thread, NULL, rebind_thread, (void *)self->bdf));
	EXPECT_EQ(sizeof(count), read(fd, &count, sizeof(count)));
	t1_device_close(&self->dev);
	pthread_join(thread, NULL);
	close(fd);
}

/* A user without an eventfd keeps the device until it closes the device. */
TEST_F(inode, request_without_eventfd)
{
	pthread_t thread;

	if (geteuid())
		T1_SKIP("only root can bind devices");
	t1_device_open(&self->dev, &self->container, self->bdf);
	t1_log_begin();
	T1_ASSERT(!pthread_create(&thread, NULL, rebind_thread, (void *)self->bdf));
	EXPECT_TRUE(t1_log_wait("blocked until released by user", 60000));
	EXPECT_EQ(EBUSY, pthread_tryjoin_np(thread, NULL));
	t1_device_close(&self->dev);
	pthread_join(thread, NULL);
}

TEST_HARNESS_MAIN
