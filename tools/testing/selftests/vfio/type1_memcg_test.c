// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a user can make the kernel allocate as often as he likes is charged to his
 * memory cgroup, and the cgroup's limit is the end of it. Takes root and cgroup2.
 *
 * Fails on stock 6.1: DMA mappings are charged to nobody, and there are no PASIDs.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"

#include "lib/type1.h"

#define ROOT		"/sys/fs/cgroup"
#define CGROUP		ROOT "/vfio_memcg_test"
#define LAST		((1U << 20) - 1)
#define IOVA		0x10000000UL
#define MAPPINGS	20000U
#define PASIDS		20000U
#define QUOTA		200000U		/* PASIDs that would fit in no limit below */
#define LIMIT		"8388608"
#define USES		1024U		/* for each device */
#define SLACK		(4 * sysconf(_SC_PAGESIZE))

/* The caches that objects come from, or one of smaller objects */
#define RANGE		"kmalloc-cg-64"		/* struct vfio_peer_range */
#define DMA		"kmalloc-cg-128"	/* struct vfio_dma */
#define ID		"kmalloc-cg-64"		/* struct ioasid_data */
#define USE		"kmalloc-cg-32"		/* struct vfio_pasid_use */
#define WINDOW		"kmalloc-cg-16"		/* struct vfio_test_window */
#define NODE		"radix_tree_node"	/* of an XArray */

FIXTURE(memcg) {
	struct t1_container c;
	unsigned int per_group;
	long before;
};

/* The number behind @key in a file of lines "key number" */
static long read_key(const char *path, const char *key)
{
	long value = -1, number;
	char word[64];
	FILE *file = fopen(path, "r");

	T1_ASSERT(file);
	while (fscanf(file, "%63s %ld%*[^\n]", word, &number) == 2) {
		if (!strcmp(word, key))
			value = number;
	}
	fclose(file);
	return value;
}

/*
 * What an object is charged, with the pointer to its cgroup; debugging makes
 * objects larger.
 */
static long charge(const char *cache)
{
	char line[256], word[64];
	long size = -1, n;
	FILE *file = fopen("/proc/slabinfo", "r");

	T1_ASSERT(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %*d %*d %ld", word, &n) == 2 && !strcmp(word, cache))
			size = n;
	}
	fclose(file);
	T1_ASSERT(size > 0);
	return size + sizeof(void *);
}

static void join(const char *cgroup)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	t1_write_file(path, "0");
}

static long slab(void)
{
	return read_key(CGROUP "/memory.stat", "slab");
}

/* From now on, this process is charged. */
static void begin(struct __test_metadata *_metadata, long *before)
{
	join(CGROUP);
	*before = slab();
	ASSERT_LE(0, *before);
}

/* Some pages for each CPU are not told yet; this allows for that. */
static void expect_growth(struct __test_metadata *_metadata, long before, long least)
{
	long grown = slab() - before;

	TH_LOG("%ld bytes were charged, at least %ld are expected", grown, least);
	EXPECT_LE(least, grown + SLACK);
}

FIXTURE_SETUP(memcg)
{
	self->per_group = t1_pasids_per_group();
	if (__t1_pasids_per_group_set(QUOTA) ||
	    __t1_write_file(ROOT "/cgroup.subtree_control", "+memory"))
		T1_SKIP("no memory controller: run as root, CONFIG_MEMCG=y, mount cgroup2");
	ASSERT_EQ(0, mkdir(CGROUP, 0755));
	t1_container_open(&self->c);
}

FIXTURE_TEARDOWN(memcg)
{
	t1_container_close(&self->c);
	join(ROOT);
	EXPECT_EQ(0, rmdir(CGROUP));
	EXPECT_EQ(0, __t1_pasids_per_group_set(self->per_group));
}

/* Of an XArray, for each of its entries; CONFIG_BASE_SMALL makes nodes small. */
static long entry_charge(void)
{
	long node = charge(NODE);

	return node / (node < 512 ? 16 : 64);
}

static long pasid_charge(void)
{
	return charge("pasid") + charge(ID) + entry_charge();
}

TEST_F(memcg, pasids)
{
	struct t1_group *group;
	unsigned int i;

	ASSERT_EQ(0, __t1_group_get(&self->c, t1_group_of(t1_require(T1_IVSHMEM, 0)), &group));
	begin(_metadata, &self->before);
	for (i = 0; i < PASIDS; i++)
		t1_pasid_alloc(&self->c, 1, LAST);
	expect_growth(_metadata, self->before, PASIDS * pasid_charge());
	t1_group_put(group);
}

TEST_F(memcg, peer_mappings)
{
	struct t1_target target;
	struct t1_group *group;
	unsigned int i;

	ASSERT_EQ(0, __t1_group_get(&self->c, t1_group_of(t1_require(T1_EDU, 0)), &group));
	t1_target_open(&target, t1_require(T1_IVSHMEM, 0), 2, 0);
	begin(_metadata, &self->before);
	for (i = 0; i < MAPPINGS; i++)
		t1_map(&self->c, target.mem, IOVA + i * T1_PAGE, T1_PAGE, T1_RW);
	expect_growth(_metadata, self->before, MAPPINGS * (charge(RANGE) + charge(DMA)));
	t1_unmap(&self->c, IOVA, MAPPINGS * T1_PAGE);
	t1_target_close(&target);
	t1_group_put(group);
}

/* The PASIDs are charged before, so that only their uses count. */
TEST_F(memcg, pasids_in_use)
{
	struct t1_vtest dev[2];
	unsigned int i, n;

	if (!t1_vtest_find(1))
		SKIP(return, T1_VTEST_HINT);
	for (n = 0; n < 2; n++)
		t1_vtest_open(&dev[n], &self->c, t1_vtest_find(n));
	for (i = 1; i <= USES; i++)
		t1_pasid_alloc(&self->c, i, i);
	begin(_metadata, &self->before);
	for (n = 0; n < 2; n++) {
		for (i = 1; i <= USES; i++)
			t1_pasid_allow(&dev[n], i, IOVA, T1_PAGE);
	}
	expect_growth(_metadata, self->before, 2 * USES * (charge(USE) + charge(WINDOW) +
						   2 * entry_charge()));
	for (n = 0; n < 2; n++)
		t1_vtest_close(&dev[n]);
}

/* Nothing that opens a device once more is free of charge. */
TEST_F(memcg, device_files)
{
	struct t1_target target;
	int fds[500];
	unsigned int i;

	t1_target_open(&target, t1_require(T1_IVSHMEM, 0), 2, 0);
	begin(_metadata, &self->before);
	for (i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = t1_device_reopen(&target.dev);
	expect_growth(_metadata, self->before, ARRAY_SIZE(fds) * charge("filp"));
	for (i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	t1_target_close(&target);
}

/* Allocate until there is an error, and tell by @count how many there were. */
static void allocate(struct t1_container *c, unsigned int *count)
{
	int ret;

	join(CGROUP);
	while ((ret = __t1_pasid_alloc(c, 1, LAST)) > 0)
		(*count)++;
	_exit(ret == -ENOMEM ? 0 : -ret);
}

/*
 * ENOMEM, or the kernel kills who is over the limit; not the quota. Some 30000 PASIDs
 * take a while, and so does the kill of who has them.
 */
TEST_F(memcg, limit)
{
	unsigned int *count;
	struct t1_group *group;
	int status;
	pid_t pid;

	count = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, count);
	ASSERT_EQ(0, __t1_group_get(&self->c, t1_group_of(t1_require(T1_IVSHMEM, 0)), &group));
	t1_write_file(CGROUP "/memory.max", LIMIT);

	pid = fork();
	if (!pid)
		allocate(&self->c, count);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	TH_LOG("%u PASIDs, then status %#x", *count, status);
	EXPECT_TRUE(!status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	EXPECT_LT(0, *count);
	EXPECT_GE(atol(LIMIT) / pasid_charge(), *count);
	EXPECT_GE(atol(LIMIT), read_key(CGROUP "/memory.stat", "slab"));
	EXPECT_LT(0, read_key(CGROUP "/memory.events", "max"));

	/* Others go on as before. */
	EXPECT_LT(0, __t1_pasid_alloc(&self->c, 1, LAST));
	t1_group_put(group);
	munmap(count, T1_PAGE);
}

TEST_HARNESS_MAIN
