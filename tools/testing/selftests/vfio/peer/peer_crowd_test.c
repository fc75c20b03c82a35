// SPDX-License-Identifier: GPL-2.0-only
/*
 * All containers share the workers that remove mappings of revoked device memory. A
 * worker tries what it would have to wait for, and comes back: neither containers whose
 * lock their user holds, nor a process that holds its mmap_lock, keep it from the
 * mappings of a stranger. Nor does a mapping that is pinned all the time keep it from
 * those behind.
 *
 * The workqueue is made so narrow that a few works fill it. With VFs, there can be more
 * containers than works that run at once by default, and then it is left as it is.
 *
 * Fails when the worker waits for vfio_iommu.lock (lock), for mmap_lock (mmap_lock), or
 * stops at the first mapping that is pinned still (pinned).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_bench.h"
#include "../lib/type1_delay.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_stall.h"
#include "../lib/type1_vtest.h"

#define SIZE		T1_RIG_SIZE
#define IOVA		0x2000000UL
#define MAX_ACTIVE	"/sys/devices/virtual/workqueue/vfio-peer/max_active"
#define MAX_CROWD	600
#define PINNED		12

/* Does fdinfo tell, without an ioctl, that the container has so many mappings left? */
static bool avail_becomes(struct t1_container *c, unsigned int avail)
{
	int left = 10000;

	while (t1_told(c, "vfio-dma-avail") != avail && left--)
		usleep(1000);
	return left > 0;
}

/* RAM, then a device's memory of the same size */
static char *make_area(struct t1_target *target, size_t size)
{
	char *area = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);

	T1_ASSERT(area != MAP_FAILED);
	T1_ASSERT(mmap(area + size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		       target->dev.fd, t1_bar_offset(&target->dev, 2, 0)) == area + size);
	return area;
}

FIXTURE(crowd) {
	struct t1_rig stranger;
	struct t1_target target;
	char max_active[16];
};

FIXTURE_SETUP(crowd)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf = t1_require(T1_IVSHMEM, 0);

	if (access(MAX_ACTIVE, W_OK))
		T1_SKIP("%s: run as root", MAX_ACTIVE);
	t1_read_file(MAX_ACTIVE, self->max_active, sizeof(self->max_active));
	t1_rig_open(&self->stranger, edu);
	t1_target_open(&self->target, bdf, 2, 0);
}

FIXTURE_TEARDOWN(crowd)
{
	t1_write_file(MAX_ACTIVE, self->max_active);
	t1_rig_close(&self->stranger);
}

struct member {
	struct t1_container c;
	struct t1_group *group;
	struct t1_busy busy;
	unsigned int avail;
};

/* False: the group cannot be used, or has no IOMMU, so that nothing is mapped. */
static bool member_open(struct member *m, int id, struct t1_target *target, void *ram)
{
	t1_container_open(&m->c);
	if (__t1_group_get(&m->c, id, &m->group)) {
		t1_container_close(&m->c);
		return false;
	}
	m->avail = t1_dma_avail(&m->c);
	t1_map(&m->c, target->mem, IOVA, SIZE, T1_RW);
	if (t1_told(&m->c, "vfio-peer-ranges") == 1) {
		t1_map(&m->c, ram, T1_RIG_RAM, SIZE, T1_RW);
		return true;
	}
	t1_group_put(m->group);
	t1_container_close(&m->c);
	return false;
}

static void member_close(struct member *m)
{
	t1_group_put(m->group);
	t1_container_close(&m->c);
}

/* One container for each group that is not in use */
static unsigned int crowd_open(struct member *crowd, struct t1_target *target, void *ram)
{
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir = opendir("/dev/vfio");

	T1_ASSERT(dir);
	while (n < MAX_CROWD && (entry = readdir(dir))) {
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
			n += member_open(&crowd[n], atoi(entry->d_name), target, ram);
	}
	closedir(dir);
	return n;
}

/* As many works at once as there are containers in the crowd, or fewer */
static void narrow(const char *max_active, unsigned int count)
{
	char text[16];

	if (strtoul(max_active, NULL, 10) > count) {
		snprintf(text, sizeof(text), "%u", count);
		t1_write_file(MAX_ACTIVE, text);
	}
}

static void allow_files(void)
{
	struct rlimit files;

	T1_ASSERT(!getrlimit(RLIMIT_NOFILE, &files));
	files.rlim_cur = files.rlim_max;
	T1_ASSERT(!setrlimit(RLIMIT_NOFILE, &files));
}

TEST_F(crowd, lock)
{
	struct member *crowd = calloc(MAX_CROWD, sizeof(*crowd));
	unsigned int i, count;
	__u64 begin;

	ASSERT_NE(NULL, crowd);
	allow_files();
	count = crowd_open(crowd, &self->target, self->stranger.ram);
	ASSERT_LT(0, count);
	narrow(self->max_active, count);
	t1_map(&self->stranger.c, self->target.mem, IOVA, SIZE, T1_RW);
	for (i = 0; i < count; i++)
		ASSERT_EQ(0, __t1_busy_begin(&crowd[i].busy, &crowd[i].c, T1_RIG_RAM, SIZE));

	t1_target_close(&self->target);
	begin = t1_now();
	EXPECT_TRUE(avail_becomes(&self->stranger.c, self->stranger.avail - 1));
	TH_LOG("%u containers are busy: a stranger's mapping took %llu ms", count,
	       (t1_now() - begin) / 1000000);
	for (i = 0; i < count; i++)
		EXPECT_EQ(crowd[i].avail - 2, t1_told(&crowd[i].c, "vfio-dma-avail"));

	for (i = 0; i < count; i++)
		t1_busy_end(&crowd[i].busy);
	begin = t1_now();
	for (i = 0; i < count; i++) {
		EXPECT_TRUE(avail_becomes(&crowd[i].c, crowd[i].avail - 1));
		member_close(&crowd[i]);
	}
	TH_LOG("theirs took %llu ms", (t1_now() - begin) / 1000000);
	free(crowd);
}

/* A process that maps memory, and moves a part of it when it is told to on @sock */
static void move(int sock, struct t1_rig *rig, struct t1_target *target)
{
	char *area, *from, *to, byte;
	cpu_set_t set;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&set);
	CPU_SET(1, &set);
	T1_ASSERT(!sched_setaffinity(0, sizeof(set), &set));
	from = mmap(NULL, T1_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	to = mmap(NULL, T1_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	area = make_area(target, SIZE);
	t1_map(&rig->c, area, IOVA, 2 * SIZE, T1_RW);
	munmap(area + SIZE, SIZE);
	t1_target_close(target);

	T1_ASSERT(write(sock, "m", 1) == 1 && read(sock, &byte, 1) == 1);
	T1_ASSERT(mremap(from, T1_PAGE, T1_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	pause();
}

static void tell(void *sock)
{
	T1_ASSERT(write(*(int *)sock, "g", 1) == 1);
}

static long locked_kib(pid_t pid)
{
	char path[64], text[4096], *line;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	t1_read_file(path, text, sizeof(text));
	line = strstr(text, "VmLck:");
	T1_ASSERT(line);
	return atol(line + strlen("VmLck:"));
}

static bool locked_becomes(pid_t pid, long kib)
{
	int left = 10000;

	while (locked_kib(pid) != kib && left--)
		usleep(1000);
	return left > 0;
}

TEST_F(crowd, mmap_lock)
{
	struct t1_race race;
	struct t1_rig rig;
	int socks[2];
	char byte;
	pid_t pid;

	if (!t1_race_usable())
		SKIP(return, T1_RACE_HINT);
	t1_rig_open(&rig, t1_require(T1_EDU, 1));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, socks));
	pid = fork();
	if (!pid)
		move(socks[1], &rig, &self->target);
	ASSERT_EQ(1, read(socks[0], &byte, 1));
	EXPECT_EQ(SIZE / 1024, locked_kib(pid));
	t1_write_file(MAX_ACTIVE, "1");
	t1_map(&self->stranger.c, self->target.mem, IOVA, SIZE, T1_RW);

	/* mremap() holds mmap_lock there. */
	t1_race_begin_free(&race, "copy_vma", "", tell, &socks[0]);
	t1_target_close(&self->target);
	EXPECT_TRUE(avail_becomes(&self->stranger.c, self->stranger.avail - 1));
	EXPECT_TRUE(avail_becomes(&rig.c, rig.avail - 1));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);

	/* What was locked is given back when it can be. */
	EXPECT_TRUE(locked_becomes(pid, 0));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	t1_rig_close(&rig);
}

/*
 * The first mapping is pinned for good, others until they are to be unmapped, the last
 * one is not.
 */
TEST(pinned)
{
	const char *edu = t1_find(T1_EDU, 0), *bdf = t1_find(T1_IVSHMEM, 0);
	const char *name = t1_vtest_find(0);
	struct t1_container c;
	struct t1_target target;
	struct t1_device dev;
	struct t1_vtest vtest;
	unsigned int i, avail;
	char *area;

	if (!edu || !bdf)
		SKIP(return, "%s", t1_find_hint(edu ? T1_IVSHMEM : T1_EDU));
	if (!name)
		SKIP(return, "%s", T1_VTEST_HINT);
	t1_container_open(&c);
	t1_vtest_open(&vtest, &c, name);
	t1_device_open(&dev, &c, edu);
	t1_target_open(&target, bdf, 2, 0);
	area = make_area(&target, T1_PAGE);
	avail = t1_dma_avail(&c);
	for (i = 0; i <= PINNED; i++) {
		t1_map(&c, area, IOVA + i * 2 * T1_PAGE, 2 * T1_PAGE, T1_RW);
		if (i == PINNED)
			break;
		EXPECT_EQ(VFIO_TEST_DONE,
			  t1_job(&vtest, 0, i ? VFIO_TEST_PIN : VFIO_TEST_HOLD,
				 IOVA + i * 2 * T1_PAGE, T1_PAGE));
	}

	munmap(area, 2 * T1_PAGE);
	t1_target_close(&target);
	EXPECT_TRUE(avail_becomes(&c, avail - PINNED));	/* by a worker */
	EXPECT_EQ(avail - 1, t1_dma_avail(&c));		/* by this call */
	EXPECT_EQ(VFIO_TEST_DONE, t1_job(&vtest, 0, VFIO_TEST_UNPIN, IOVA, T1_PAGE));
	EXPECT_TRUE(avail_becomes(&c, avail));		/* and a worker again */

	t1_vtest_close(&vtest);
	t1_device_close(&dev);
	t1_container_close(&c);
	EXPECT_EQ(0, t1_locked_kib());
}

TEST_HARNESS_MAIN
