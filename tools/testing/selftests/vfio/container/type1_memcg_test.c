// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a user can make the kernel allocate without limit is charged to
 * the user's memory cgroup. At the cgroup's limit calls fail, and no task is
 * killed. Takes root and cgroup2.
 *
 * Fails on stock 6.1: DMA mappings are charged to nobody, and there are no PASIDs. Those
 * that go to the limit fail when VFIO_GFP_USER is GFP_KERNEL_ACCOUNT: the child is killed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_vtest.h"

#define ROOT		"/sys/fs/cgroup"
#define CGROUP		ROOT "/vfio_memcg_test"
#define LAST		((1U << 20) - 1)
#define IOVA		0x10000000UL
#define MAPPINGS	20000U
#define MANY		65000U		/* mappings: too many for the limit below */
#define TRACKED		0x10000000000UL	/* bytes of a mapping */
#define PASIDS		20000U
#define QUOTA		200000U		/* PASIDs that would fit in no limit below */
#define LIMIT		"8388608"
#define USES		1024U		/* for each device */
#define SLACK		(4 * sysconf(_SC_PAGESIZE))

/* The caches that objects come from, or one of smaller objects */
#define RANGE		"kmalloc-cg-64"		/* struct vfio_peer_range */
#define DMA		"kmalloc-cg-128"	/* struct vfio_dma */
#define USE		"kmalloc-cg-64"		/* struct vfio_pasid_use */
#define NODE		"radix_tree_node"	/* of an XArray */

FIXTURE(memcg) {
	struct t1_container c;
	unsigned int per_group;
	long before;
};

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
	return t1_read_key(CGROUP "/memory.stat", "slab");
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
	return charge("pasid") + entry_charge();
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
			t1_pasid_attach(&dev[n], i, -1);
	}
	expect_growth(_metadata, self->before, 2 * USES * (charge(USE) + entry_charge()));
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

/*
 * At the limit: a child goes there, with everything in memory that it needs from then
 * on, so that only calls of VFIO are charged.
 */
struct limit {
	struct t1_container *c;
	void *mem;		/* of a device */
	/* Results */
	unsigned int count;	/* calls that went well */
	unsigned int again;	/* the same, after all was given back */
	int error;
};

typedef void (*limit_fn)(struct limit *limit);

static void enter_limit(void)
{
	char stack[0x10000];

	explicit_bzero(stack, sizeof(stack));
	T1_ASSERT(!mlockall(MCL_CURRENT));
	join(CGROUP);
}

/* Nobody is killed: the call fails, and the cgroup tells that it was at its limit. */
static void reach_limit(struct __test_metadata *_metadata, struct limit *limit, const char *max,
			limit_fn run)
{
	struct limit *shared;
	int status;
	pid_t pid;

	shared = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	*shared = *limit;
	t1_write_file(CGROUP "/memory.max", max);
	pid = fork();
	if (!pid) {
		enter_limit();
		run(shared);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	TH_LOG("%u calls, then error %d, and %u calls again", shared->count, -shared->error,
	       shared->again);
	EXPECT_EQ(0, status);
	EXPECT_EQ(-ENOMEM, shared->error);
	EXPECT_GE(atol(max), t1_read_key(CGROUP "/memory.stat", "slab"));
	EXPECT_LT(0, t1_read_key(CGROUP "/memory.events", "max"));
	EXPECT_EQ(0, t1_read_key(CGROUP "/memory.events", "oom_kill"));
	*limit = *shared;
	munmap(shared, T1_PAGE);
}

static int map_all(struct limit *limit, unsigned int *count)
{
	int ret = 0;

	for (; !ret && *count < MANY; *count += !ret)
		ret = __t1_map(limit->c, limit->mem, IOVA + *count * T1_PAGE, T1_PAGE, T1_RW);
	return ret;
}

/* Two objects for each mapping, and a bitmap, which is the third */
static void map_to_limit(struct limit *limit)
{
	__u64 unmapped;

	T1_ASSERT_OK(__t1_dirty_pages(limit->c, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, 0, NULL));
	limit->error = map_all(limit, &limit->count);
	T1_ASSERT_OK(__t1_unmap(limit->c, IOVA, MANY * T1_PAGE, &unmapped));
	T1_ASSERT(unmapped == limit->count * T1_PAGE);
	map_all(limit, &limit->again);
	t1_unmap(limit->c, IOVA, limit->again * T1_PAGE);
}

TEST_F(memcg, mappings_to_limit)
{
	struct limit limit = { .c = &self->c };
	unsigned int left, avail;
	struct t1_target target;
	struct t1_group *group;

	ASSERT_EQ(0, __t1_group_get(&self->c, t1_group_of(t1_require(T1_EDU, 0)), &group));
	t1_target_open(&target, t1_require(T1_IVSHMEM, 0), 2, 0);
	avail = t1_dma_avail(&self->c);
	limit.mem = target.mem;
	reach_limit(_metadata, &limit, "15728640", map_to_limit);
	EXPECT_LT(10000, limit.count);
	EXPECT_GT(MANY, limit.count);
	/* Some caches keep what they have got. */
	EXPECT_LE(limit.count / 2, limit.again);
	left = t1_dma_avail(&self->c);
	EXPECT_EQ(avail, left);
	t1_target_close(&target);
	t1_group_put(group);
}

/* A bitmap of 32 MiB, which is no object of a slab. Nothing is pinned here. */
static void track_to_limit(struct limit *limit)
{
	limit->error = __t1_dirty_pages(limit->c, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, 0, NULL);
	t1_unmap(limit->c, TRACKED, TRACKED);
	T1_ASSERT_OK(__t1_dirty_pages(limit->c, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, 0, NULL));
	T1_ASSERT_OK(__t1_dirty_pages(limit->c, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, 0, 0, NULL));
}

TEST_F(memcg, bitmap_to_limit)
{
	struct limit limit = { .c = &self->c };
	struct t1_group *group;

	if (!t1_vtest_find(0))
		SKIP(return, T1_VTEST_HINT);
	ASSERT_EQ(0, __t1_group_get(&self->c, t1_vtest_group(t1_vtest_find(0)), &group));
	t1_map(&self->c, (void *)T1_PAGE, TRACKED, TRACKED, T1_RW);
	reach_limit(_metadata, &limit, "15728640", track_to_limit);
	t1_group_put(group);
}

static void allocate_to_limit(struct limit *limit)
{
	int ret;

	while ((ret = __t1_pasid_alloc(limit->c, 1, LAST)) > 0)
		limit->count++;
	limit->error = ret;
	T1_ASSERT(__t1_pasid_free(limit->c, 1, LAST) == (int)limit->count);
	while (__t1_pasid_alloc(limit->c, 1, LAST) > 0)
		limit->again++;
}

/* Not the quota. Some 30000 PASIDs take a while. */
TEST_F(memcg, pasids_to_limit)
{
	struct limit limit = { .c = &self->c };
	struct t1_group *group;

	ASSERT_EQ(0, __t1_group_get(&self->c, t1_group_of(t1_require(T1_IVSHMEM, 0)), &group));
	reach_limit(_metadata, &limit, LIMIT, allocate_to_limit);
	EXPECT_LT(0, limit.count);
	EXPECT_GE(atol(LIMIT) / charge("pasid"), limit.count);
	EXPECT_LT(0, limit.again);

	/* Others go on as before, once the owner is gone. */
	EXPECT_LT(0, t1_pasid_alloc_soon(&self->c, 1, LAST));
	t1_group_put(group);
}

TEST_HARNESS_MAIN
