// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings that were made while a container had no IOMMU, when the first group
 * with one is added. They map memory of the process that made them, also if
 * another process adds the group. Memory that no IOMMU may translate to does
 * not keep the group out.
 *
 * On stock 6.1 a device reaches memory of the process that brought the group.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_edu.h"
#include "../lib/type1_fail.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_vtest.h"

#define IOVA	0x2000000UL
#define FIRST	(IOVA - T1_PAGE)	/* of a page that both processes see */
#define SIZE	T1_RIG_SIZE
#define MINE	0x600d600d
#define THEIRS	0xbadbad
#define DMA_ENTRY_LIMIT	"/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

struct shared {
	struct t1_container c;
	struct t1_vtest vtest;
	const char *edu;
	__u32 *seen;		/* by both */
	__u32 *page;		/* by each its own, once both have written */
	unsigned int avail;
	__u64 locked;
};

FIXTURE(replay) {
	struct shared s;
};

FIXTURE_SETUP(replay)
{
	const char *name = t1_vtest_find(0);

	self->s.edu = t1_require(T1_EDU, 0);
	if (!name)
		T1_SKIP("%s", T1_VTEST_HINT);
	self->s.seen = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	self->s.page = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->s.seen);
	ASSERT_NE(MAP_FAILED, self->s.page);
	t1_container_open(&self->s.c);
	t1_vtest_open(&self->s.vtest, &self->s.c, name);
	self->s.avail = t1_dma_avail(&self->s.c);
	self->s.locked = t1_locked_kib();
	t1_map(&self->s.c, self->s.seen, FIRST, T1_PAGE, T1_RW);
}

FIXTURE_TEARDOWN(replay)
{
	t1_unmap(&self->s.c, FIRST, T1_PAGE);
	EXPECT_EQ(self->s.avail, t1_dma_avail(&self->s.c));
	EXPECT_EQ(self->s.locked, t1_locked_kib());
	t1_vtest_close(&self->s.vtest);
	t1_container_close(&self->s.c);
	munmap(self->s.page, T1_PAGE);
	munmap(self->s.seen, T1_PAGE);
}

struct engine {
	struct t1_device dev;
	void *bar0;
};

static void engine_open(struct engine *edu, struct t1_container *c, const char *bdf)
{
	t1_device_open(&edu->dev, c, bdf);
	edu->bar0 = t1_bar_mmap(&edu->dev, 0, 0, T1_EDU_BAR_SIZE);
}

static void engine_close(struct engine *edu)
{
	munmap(edu->bar0, T1_EDU_BAR_SIZE);
	t1_device_close(&edu->dev);
}

/* A word from one IOVA to another */
static void copy(struct engine *edu, __u64 from, __u64 to)
{
	edu_dma_from(edu->bar0, from, 0, sizeof(__u32));
	edu_dma_to(edu->bar0, to, 0, sizeof(__u32));
}

/* In another process: a word of what is mapped here */
static void copy_from_there(struct shared *s)
{
	struct engine edu;

	*s->page = THEIRS;
	engine_open(&edu, &s->c, s->edu);
	copy(&edu, IOVA, FIRST);
	engine_close(&edu);
}

TEST_F(replay, ram_of_who_mapped_it)
{
	*self->s.page = MINE;
	t1_map(&self->s.c, self->s.page, IOVA, T1_PAGE, T1_RW);
	T1_IN_CHILD(copy_from_there(&self->s));
	EXPECT_EQ(MINE, *self->s.seen);
	t1_unmap(&self->s.c, IOVA, T1_PAGE);
}

/*
 * While the other process has the group, it is here that memory is locked. That one's
 * limit is none of it.
 */
TEST_F(replay, locked_memory_of_who_mapped_it)
{
	int go[2], done[2];
	char byte;
	pid_t pid;

	t1_map(&self->s.c, self->s.page, IOVA, T1_PAGE, T1_RW);
	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(done));
	pid = fork();
	if (!pid) {
		const struct rlimit none = { 0, 0 };
		struct engine edu;

		close(go[1]);
		T1_ASSERT(!setrlimit(RLIMIT_MEMLOCK, &none));
		engine_open(&edu, &self->s.c, self->s.edu);
		T1_ASSERT(!t1_locked_kib() && write(done[1], "", 1) == 1);
		T1_ASSERT(!read(go[0], &byte, 1));
		engine_close(&edu);
		_exit(0);
	}
	close(done[1]);
	EXPECT_EQ(1, read(done[0], &byte, 1));
	EXPECT_EQ(self->s.locked + 2 * T1_PAGE / 1024, t1_locked_kib());
	close(go[1]);
	T1_ASSERT(waitpid(pid, NULL, 0) == pid);
	close(go[0]);
	close(done[0]);
	t1_unmap(&self->s.c, IOVA, T1_PAGE);
}

static void write_from_there(struct shared *s, void *bar)
{
	struct engine edu;

	munmap(bar, SIZE);
	engine_open(&edu, &s->c, s->edu);
	copy(&edu, FIRST, IOVA);
	engine_close(&edu);
}

TEST_F(replay, bar_of_who_mapped_it)
{
	struct t1_target target;

	t1_target_open(&target, t1_require(T1_IVSHMEM, 0), 2, 0);
	t1_map(&self->s.c, target.mem, IOVA, SIZE, T1_RW);
	*target.mem = 0;
	*self->s.seen = MINE;
	T1_IN_CHILD(write_from_there(&self->s, target.mem));
	EXPECT_EQ(MINE, *target.mem);
	t1_unmap(&self->s.c, IOVA, SIZE);
	t1_target_close(&target);
}

/* Nobody has that memory any more: the group is refused, and nothing has changed. */
TEST_F(replay, memory_of_a_process_that_is_gone)
{
	struct t1_group *group;

	T1_IN_CHILD(t1_map(&self->s.c, self->s.page, IOVA, T1_PAGE, T1_RW));
	EXPECT_EQ(-ESRCH, __t1_group_get(&self->s.c, t1_group_of(self->s.edu), &group));
	EXPECT_EQ(self->s.locked, t1_locked_kib());
	t1_unmap(&self->s.c, IOVA, T1_PAGE);
	ASSERT_EQ(0, __t1_group_get(&self->s.c, t1_group_of(self->s.edu), &group));
	t1_group_put(group);
}

/*
 * Pages, foreign memory, and pages again where there is room for them. The memory is
 * of the vDSO, which everybody has, or of a BAR that root has mapped by sysfs.
 */
struct foreign {
	struct t1_container c, other;
	struct t1_vtest vtest;
	struct t1_device target;
	const char *edu;
	__u32 *seen;
	char *area;
	size_t size, before, hole;	/* of all; of pages before, of foreign memory */
	__u32 offset, value;		/* of a word in that */
	unsigned int avail;
	int resource;
};

FIXTURE(foreign) {
	struct foreign f;
};

FIXTURE_VARIANT(foreign) {
	bool sysfs;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(foreign, vdso) { .sysfs = false, .flags = VFIO_DMA_MAP_FLAG_READ };
FIXTURE_VARIANT_ADD(foreign, sysfs) { .sysfs = true, .flags = T1_RW };

/* The data of the vDSO, behind a page */
static bool vdso_area(struct foreign *f)
{
	unsigned long start = 0, end = 0;
	char line[256];
	FILE *maps = fopen("/proc/self/maps", "r");

	T1_ASSERT(maps);
	while (!end && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]"))
			sscanf(line, "%lx-%lx", &start, &end);
	fclose(maps);
	f->before = T1_PAGE;
	f->hole = end - start;
	f->size = T1_PAGE + f->hole;
	f->area = (char *)start - T1_PAGE;
	return end && mmap(f->area, T1_PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == f->area;
}

/*
 * The kernel puts [vvar] at a random place, now and then next to another mapping. Start
 * again then, some times at most.
 */
static void __attribute__((constructor)) find_room(int argc, char **argv)
{
	const char *left = getenv("REPLAY_TRIES_LEFT");
	int tries = left ? atoi(left) : 20;
	char text[16];
	struct foreign f;

	if (vdso_area(&f)) {
		munmap(f.area, T1_PAGE);
	} else if (tries) {
		snprintf(text, sizeof(text), "%d", tries - 1);
		setenv("REPLAY_TRIES_LEFT", text, 1);
		execv("/proc/self/exe", argv);
	}
}

static void *map_resource(struct foreign *f, void *addr)
{
	return mmap(addr, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, f->resource, 0);
}

/* Its memory is on as long as it is open. */
static bool sysfs_area(struct foreign *f, const char *bdf)
{
	char path[64];

	f->before = SIZE;
	f->hole = SIZE;
	f->size = 3 * SIZE;
	f->area = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	T1_ASSERT(f->area != MAP_FAILED);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource2", bdf);
	f->resource = open(path, O_RDWR);
	if (f->resource < 0 || map_resource(f, f->area + SIZE) == MAP_FAILED)
		return false;
	*(__u32 *)(f->area + SIZE) = THEIRS;
	return true;
}

/* A word that nobody writes, and that is not what one reads where nothing is */
static bool find_word(struct foreign *f)
{
	const __u32 *words = (__u32 *)(f->area + f->before);
	unsigned int i;

	for (i = 0; i < T1_PAGE / sizeof(*words); i++) {
		f->offset = f->before + i * sizeof(*words);
		f->value = words[i];
		if (words[i] > 0xff && words[i] < 0xffffff00) {
			usleep(20000);
			if (words[i] == f->value)
				return true;
		}
	}
	return false;
}

FIXTURE_SETUP(foreign)
{
	const char *name = t1_vtest_find(0), *bdf = t1_require(T1_IVSHMEM, 0);

	self->f.edu = t1_require(T1_EDU, 0);
	if (!name)
		T1_SKIP("%s", T1_VTEST_HINT);
	if (variant->sysfs && geteuid())
		T1_SKIP("needs root, for a BAR in sysfs");
	t1_container_open(&self->f.other);
	t1_device_open(&self->f.target, &self->f.other, bdf);
	self->f.resource = -1;
	if (variant->sysfs && !sysfs_area(&self->f, bdf))
		T1_SKIP("cannot map resource2 of %s: boot with iomem=relaxed", bdf);
	if (!variant->sysfs && !vdso_area(&self->f))
		T1_SKIP("no [vvar] in /proc/self/maps, or no room before it");
	ASSERT_TRUE(find_word(&self->f));
	*(__u32 *)self->f.area = MINE;

	self->f.seen = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->f.seen);
	t1_container_open(&self->f.c);
	t1_vtest_open(&self->f.vtest, &self->f.c, name);
	self->f.avail = t1_dma_avail(&self->f.c);
	t1_map(&self->f.c, self->f.seen, FIRST, T1_PAGE, T1_RW);
	t1_map(&self->f.c, self->f.area, IOVA, self->f.size, variant->flags);
}

FIXTURE_TEARDOWN(foreign)
{
	t1_unmap(&self->f.c, FIRST, T1_PAGE + self->f.size);
	EXPECT_EQ(self->f.avail, t1_dma_avail(&self->f.c));
	EXPECT_EQ(0, t1_locked_kib());
	t1_vtest_close(&self->f.vtest);
	t1_container_close(&self->f.c);
	munmap(self->f.seen, T1_PAGE);
	munmap(self->f.area, variant->sysfs ? self->f.size : T1_PAGE);
	close(self->f.resource);
	t1_device_close(&self->f.target);
	t1_container_close(&self->f.other);
}

/* What the device reads there */
static __u32 word_at(struct foreign *f, struct engine *edu, __u64 iova)
{
	__atomic_store_n(f->seen, 0, __ATOMIC_RELAXED);
	copy(edu, iova, FIRST);
	return __atomic_load_n(f->seen, __ATOMIC_ACQUIRE);
}

/* Pages are reached, and foreign memory is not. */
static bool reaches_pages(struct foreign *f, struct engine *edu)
{
	size_t end = f->before + f->hole;

	if (end < f->size) {
		*(__u32 *)(f->area + end) = MINE + 1;
		if (word_at(f, edu, IOVA + end) != MINE + 1)
			return false;
	}
	return word_at(f, edu, IOVA) == MINE &&
	       word_at(f, edu, IOVA + f->offset) != f->value &&
	       t1_locked_kib() == (T1_PAGE + f->size - f->hole) / 1024;
}

TEST_F(foreign, group_comes)
{
	struct engine edu;

	engine_open(&edu, &self->f.c, self->f.edu);
	EXPECT_TRUE(reaches_pages(&self->f, &edu));
	/* Now that there is an IOMMU */
	EXPECT_EQ(-EPERM, __t1_map(&self->f.c, self->f.area, IOVA + self->f.size, self->f.size,
				   variant->flags));
	engine_close(&edu);
	EXPECT_EQ(0, t1_locked_kib());
	engine_open(&edu, &self->f.c, self->f.edu);
	EXPECT_TRUE(reaches_pages(&self->f, &edu));
	engine_close(&edu);
}

TEST_F(foreign, unmapped_while_group_is_there)
{
	struct engine edu;

	engine_open(&edu, &self->f.c, self->f.edu);
	t1_unmap(&self->f.c, IOVA, self->f.size);
	EXPECT_EQ(self->f.avail - 1, t1_dma_avail(&self->f.c));
	EXPECT_NE(MINE, word_at(&self->f, &edu, IOVA));
	engine_close(&edu);
	t1_map(&self->f.c, self->f.area, IOVA, self->f.size, variant->flags);
}

/* Devices without an IOMMU reach it as before. */
TEST_F(foreign, emulated_device)
{
	struct engine edu;

	engine_open(&edu, &self->f.c, self->f.edu);
	EXPECT_EQ(VFIO_TEST_DONE, t1_job(&self->f.vtest, 0, VFIO_TEST_READ, IOVA, 8));
	EXPECT_EQ(VFIO_TEST_DONE, t1_job(&self->f.vtest, 0, VFIO_TEST_READ,
					 IOVA + self->f.before, 8));
	engine_close(&edu);
}

/* What is put in its place is left out, until the group comes anew. */
TEST_F(foreign, pages_in_its_place)
{
	const __u64 iova = IOVA + self->f.before;
	char *hole = self->f.area + self->f.before;
	struct engine edu;

	if (!variant->sysfs)
		SKIP(return, "in variant sysfs only, whose memory can go");
	engine_open(&edu, &self->f.c, self->f.edu);
	ASSERT_EQ(hole, mmap(hole, self->f.hole, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*(__u32 *)hole = MINE;
	EXPECT_NE(MINE, word_at(&self->f, &edu, iova));
	engine_close(&edu);
	engine_open(&edu, &self->f.c, self->f.edu);
	EXPECT_EQ(MINE, word_at(&self->f, &edu, iova));
	engine_close(&edu);
}

/* In a domain of its own */
TEST_F(foreign, second_group)
{
	struct engine edu, second;

	if (geteuid())
		SKIP(return, "needs root, to let something fail");
	if (__t1_fail_setup())
		SKIP(return, "%s", T1_FAIL_HINT);
	engine_open(&edu, &self->f.c, self->f.edu);
	t1_fail_function("vfio_peer_attach_group");
	engine_open(&second, &self->f.c, t1_require(T1_EDU, 1));
	EXPECT_TRUE(t1_function_failed());
	t1_fail_function(NULL);
	EXPECT_TRUE(reaches_pages(&self->f, &second));
	EXPECT_TRUE(reaches_pages(&self->f, &edu));
	engine_close(&edu);
	EXPECT_TRUE(reaches_pages(&self->f, &second));
	engine_close(&second);
}

/* A second piece of it needs room for one more mapping. */
TEST_F(foreign, entry_limit)
{
	struct t1_container c;
	struct t1_group *group;
	struct t1_vtest vtest;
	char limit[16];

	if (!variant->sysfs)
		SKIP(return, "in variant sysfs only, which root runs");
	t1_read_file(DMA_ENTRY_LIMIT, limit, sizeof(limit));
	t1_write_file(DMA_ENTRY_LIMIT, "1");
	t1_container_open(&c);
	t1_vtest_open(&vtest, &c, t1_vtest_find(1));
	t1_write_file(DMA_ENTRY_LIMIT, limit);
	t1_map(&c, self->f.area, IOVA, self->f.size, T1_RW);
	ASSERT_NE(MAP_FAILED, map_resource(&self->f, self->f.area));
	ASSERT_EQ(0, munmap(self->f.area, T1_PAGE));
	ASSERT_NE(MAP_FAILED, mmap(self->f.area, T1_PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(-ENOSPC, __t1_group_get(&c, t1_group_of(self->f.edu), &group));
	EXPECT_EQ(0, t1_dma_avail(&c));
	EXPECT_EQ(0, t1_locked_kib());
	t1_unmap(&c, IOVA, self->f.size);
	EXPECT_EQ(1, t1_dma_avail(&c));
	t1_vtest_close(&vtest);
	t1_container_close(&c);
}

/* How many allocations, but for pages, an attach of @group makes */
static unsigned int attach_allocations(int group, struct t1_container *c)
{
	const unsigned int many = 100000;
	unsigned int needed;

	t1_fail_nth(many);
	T1_ASSERT(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &c->fd));
	needed = many - t1_fail_spare();
	T1_ASSERT(!ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
	return needed;
}

/* No memory for what is left out: the group is refused, and nothing has changed. */
TEST_F(foreign, allocation_fails)
{
	char path[32];
	int group;

	if (geteuid())
		SKIP(return, "needs root, to let something fail");
	if (__t1_fail_setup())
		SKIP(return, "%s", T1_FAIL_HINT);
	snprintf(path, sizeof(path), "/dev/vfio/%d", t1_group_of(self->f.edu));
	group = open(path, O_RDWR);
	ASSERT_LE(0, group);
	/* The last one, as often as it takes when all of the memory is there already */
	t1_fail_kinds(true, false);
	attach_allocations(group, &self->f.c);
	t1_fail_nth(attach_allocations(group, &self->f.c));
	EXPECT_EQ(-1, ioctl(group, VFIO_GROUP_SET_CONTAINER, &self->f.c.fd));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_TRUE(t1_failed());
	EXPECT_EQ(0, t1_locked_kib());
	EXPECT_EQ(self->f.avail - 2, t1_dma_avail(&self->f.c));
	ASSERT_EQ(0, ioctl(group, VFIO_GROUP_SET_CONTAINER, &self->f.c.fd));
	close(group);
	t1_fail_kinds(true, true);
}

TEST_HARNESS_MAIN
