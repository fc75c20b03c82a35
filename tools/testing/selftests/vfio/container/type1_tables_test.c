// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IOMMU's page tables: a user decides how many there are. Those without entries go,
 * and the others are charged to the user's memory cgroup.
 *
 * Fails on stock 6.1: a table stays until the container is closed, unless one unmap
 * covers it, and is charged to nobody. table_goes_while_another_map_waits has no such
 * table there; it fails when pfn_to_dma_pte() goes on where it was after an allocation.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_delay.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_iommu.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"

#define ROOT	"/sys/fs/cgroup"
#define CGROUP	ROOT "/vfio_tables_test"
#define MIB	(1UL << 20)
#define GIB	(1UL << 30)
#define IOVA	(4 * GIB)
#define FAR_IOVA	(1024 * GIB)	/* AMD reserves what is below */
#define DMA_IOVA	0x2000000UL	/* within edu's 28 bits */
#define STEPS	12000UL		/* a table each: 48 MB */
#define BLOCKS	40		/* more than a domain keeps empty tables for */
#define LIMIT	(32 * MIB)

static long available(void)
{
	return t1_read_key("/proc/meminfo", "MemAvailable:") * 1024;
}

/* What there is, with gaps in between */
static void unmap_all(struct t1_container *c)
{
	T1_ASSERT_OK(__t1_unmap(c, IOVA, STEPS * 2 * MIB, NULL));
}

/* As root and as a user: what a container's page tables take of the machine's memory */
FIXTURE(empty) {
	struct t1_rig rig;
};

FIXTURE_SETUP(empty)
{
	t1_rig_open(&self->rig, t1_require(T1_EDU, 0));
}

FIXTURE_TEARDOWN(empty)
{
	t1_rig_close(&self->rig);
}

/* Does the IOMMU translate so many bits? */
static bool reaches(struct t1_rig *rig, __u64 iova)
{
	if (__t1_map(&rig->c, rig->ram, iova, T1_PAGE, T1_RW))
		return false;
	t1_unmap(&rig->c, iova, T1_PAGE);
	return true;
}

#define expect_little(before) do {					\
	long __used = (before) - available();				\
									\
	TH_LOG("%ld bytes less are available", __used);			\
	EXPECT_GT((long)(STEPS * T1_PAGE) / 2, __used);			\
} while (0)

static void step(struct t1_rig *rig, __u64 iova, __u64 size)
{
	unsigned long i;

	for (i = 0; i < STEPS; i++) {
		t1_map(&rig->c, rig->ram, iova + i * size, T1_PAGE, T1_RW);
		t1_unmap(&rig->c, iova + i * size, T1_PAGE);
	}
}

TEST_F(empty, page_by_page)
{
	long before = available();

	step(&self->rig, IOVA, 2 * MIB);
	expect_little(before);
}

/* With two tables below what is shared */
TEST_F(empty, far_apart)
{
	long before;

	if (!reaches(&self->rig, FAR_IOVA + STEPS * GIB))
		SKIP(return, "the IOMMU has fewer bits");
	before = available();
	step(&self->rig, FAR_IOVA, GIB);
	expect_little(before);
}

/* When they are unmapped, all tables have entries, and the last one of each goes. */
TEST_F(empty, all_at_once)
{
	long before = available();
	unsigned long i;

	for (i = 0; i < STEPS; i++)
		t1_map(&self->rig.c, self->rig.ram, IOVA + i * 2 * MIB, T1_PAGE, T1_RW);
	EXPECT_LT((long)(STEPS * T1_PAGE) / 2, before - available());
	unmap_all(&self->rig.c);
	expect_little(before);
}

/* What else is in a table stays, and a table comes again when it is needed. */
TEST_F(empty, neighbours)
{
	struct t1_rig *rig = &self->rig;
	__u32 *ram = rig->ram + T1_PAGE / sizeof(*ram);
	unsigned int i, round;
	__u64 iova;

	for (iova = DMA_IOVA, i = 0; i < BLOCKS; i += 2)
		t1_map(&rig->c, ram, iova + i * 2 * MIB + T1_PAGE, T1_PAGE, T1_RW);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < BLOCKS; i++) {
			t1_map(&rig->c, ram, iova + i * 2 * MIB, T1_PAGE, T1_RW);
			EXPECT_TRUE(t1_dma_arrives(rig, iova + i * 2 * MIB, ram));
			t1_unmap(&rig->c, iova + i * 2 * MIB, T1_PAGE);
		}
	}
	for (i = 0; i < BLOCKS; i++) {
		EXPECT_FALSE(t1_dma_arrives(rig, iova + i * 2 * MIB, ram));
		EXPECT_EQ(!(i % 2), t1_dma_arrives(rig, iova + i * 2 * MIB + T1_PAGE, ram));
	}
	for (i = 0; i < BLOCKS; i += 2)
		t1_unmap(&rig->c, iova + i * 2 * MIB + T1_PAGE, T1_PAGE);
}

/* By root: one task maps while another one frees tables */
FIXTURE(race) {
	struct t1_rig rig;
	struct t1_target target;
	const char *edu;
};

FIXTURE_SETUP(race)
{
	unsigned int i;

	if (geteuid())
		T1_SKIP("only root can delay functions");
	if (!t1_race_usable())
		T1_SKIP("%s", T1_RACE_HINT);
	self->edu = t1_require(T1_EDU, 0);
	if (!t1_tables_visible())
		T1_SKIP("%s", T1_TABLES_HINT);
	t1_rig_open(&self->rig, self->edu);
	t1_target_open(&self->target, t1_require(T1_IVSHMEM, 0), 2, 0);
	for (i = 0; i < BLOCKS; i++)
		t1_map(&self->rig.c, self->target.mem, IOVA + i * 2 * MIB, T1_PAGE, T1_RW);
}

FIXTURE_TEARDOWN(race)
{
	unmap_all(&self->rig.c);
	t1_target_close(&self->target);
	t1_rig_close(&self->rig);
}

static void map_below_table(void *arg)
{
	struct t1_rig *rig = arg;

	t1_map(&rig->c, rig->ram, IOVA + GIB, T1_PAGE, T1_RW);
}

/*
 * The map needs a table, and has found the one above, which has no entries. That one goes
 * when the memory of a device is off whose mappings were alone in many tables.
 */
TEST_F(race, table_goes_while_another_map_waits)
{
	struct t1_rig *rig = &self->rig;
	struct t1_race race;

	t1_map(&rig->c, rig->ram, IOVA + GIB + 2 * MIB, T1_PAGE, T1_RW);
	t1_unmap(&rig->c, IOVA + GIB + 2 * MIB, T1_PAGE);

	t1_race_begin_free(&race, "alloc_pgtable_page", "", map_below_table, rig);
	t1_set_memory(&self->target.dev, false);
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_TRUE(t1_translates(self->edu, IOVA + GIB));
	EXPECT_FALSE(t1_translates(self->edu, IOVA));

	t1_set_memory(&self->target.dev, true);
	EXPECT_TRUE(t1_translates(self->edu, IOVA));
	EXPECT_TRUE(t1_translates(self->edu, IOVA + (BLOCKS - 1) * 2 * MIB));
}

/* By root: who is charged */
FIXTURE(charge) {
	struct t1_container c;
	struct t1_group *group;
	void *ram;
	unsigned long *count;
};

FIXTURE_SETUP(charge)
{
	if (geteuid())
		T1_SKIP("only root can make a cgroup");
	if (__t1_write_file(ROOT "/cgroup.subtree_control", "+memory"))
		T1_SKIP("no memory controller: set CONFIG_MEMCG=y, mount cgroup2");
	ASSERT_EQ(0, mkdir(CGROUP, 0755));
	self->ram = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->ram);
	self->count = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			   0);
	ASSERT_NE(MAP_FAILED, self->count);
	t1_container_open(&self->c);
	ASSERT_EQ(0, __t1_group_get(&self->c, t1_group_of(t1_require(T1_EDU, 0)), &self->group));
}

FIXTURE_TEARDOWN(charge)
{
	t1_group_put(self->group);
	t1_container_close(&self->c);
	t1_write_file(ROOT "/cgroup.procs", "0");
	EXPECT_EQ(0, rmdir(CGROUP));
}

static long kernel_memory(void)
{
	return t1_read_key(CGROUP "/memory.stat", "kernel");
}

TEST_F(charge, who_maps)
{
	long before, grown;
	unsigned long i;

	t1_write_file(CGROUP "/cgroup.procs", "0");
	before = kernel_memory();
	for (i = 0; i < STEPS; i++)
		t1_map(&self->c, self->ram, IOVA + i * 2 * MIB, T1_PAGE, T1_RW);
	grown = kernel_memory() - before;
	TH_LOG("%ld bytes were charged", grown);
	EXPECT_LE((long)(STEPS * T1_PAGE), grown);
	unmap_all(&self->c);
	EXPECT_GE((long)(STEPS * T1_PAGE) / 2, kernel_memory() - before);
}

/* What a child needs is in memory then, so that only calls of VFIO are charged. */
static void enter_limit(void)
{
	char stack[0x10000];

	t1_write_file(CGROUP "/cgroup.procs", "0");
	explicit_bzero(stack, sizeof(stack));
	T1_ASSERT(!mlockall(MCL_CURRENT));
}

/* Map until there is an error, and tell by @count how many there were. */
static void map_all(struct t1_container *c, void *ram, unsigned long *count)
{
	int ret;

	enter_limit();
	while (!(ret = __t1_map(c, ram, IOVA + *count * 2 * MIB, T1_PAGE, T1_RW)))
		(*count)++;
	_exit(-ret);
}

/* Nobody is killed, and what was there goes on. */
TEST_F(charge, until_it_is_full)
{
	char limit[32];
	int status;
	pid_t pid;

	snprintf(limit, sizeof(limit), "%lu", LIMIT);
	t1_write_file(CGROUP "/memory.max", limit);
	pid = fork();
	if (!pid)
		map_all(&self->c, self->ram, self->count);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	TH_LOG("%lu mappings, then status %#x", *self->count, status);
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(ENOMEM, WEXITSTATUS(status));
	EXPECT_LT(LIMIT / T1_PAGE / 2, *self->count);
	EXPECT_GE(LIMIT / T1_PAGE, *self->count);
	EXPECT_EQ(0, t1_read_key(CGROUP "/memory.events", "oom_kill"));

	/* Others go on as before. */
	t1_map(&self->c, self->ram, IOVA + *self->count * 2 * MIB, T1_PAGE, T1_RW);
}

TEST_HARNESS_MAIN
