// SPDX-License-Identifier: GPL-2.0-only
/*
 * What mapping device memory for DMA costs, by its size, and RAM for comparison;
 * what suspending and resuming many mappings costs, compared to doing without; what
 * turning memory off costs when the CPU has mapped it, and when it no longer has.
 *
 * Takes the first ivshmem device, with a BAR 2 of 4 GiB. Prints a line "name ns"
 * for each sample, like bar_bench.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../lib/type1.h"
#include "../lib/type1_bench.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"

#define MIB		(1UL << 20)
#define GIB		(1UL << 30)
#define BAR_SIZE	(4 * GIB)
#define IOVA		(16 * GIB)	/* aligned as the BAR is: large pages */
#define HUGETLB_SIZE	(256 * MIB)
#define MANY		100
#define MANY_SIZE	(2 * MIB)
#define TIMES		20	/* for a difference that stands out of the noise */

static struct t1_container container;
static struct t1_device dev;
static char *bar;

static void sample(const char *what, const char *size, __u64 ns)
{
	char name[32];

	snprintf(name, sizeof(name), "%s_%s", what, size);
	t1_sample(name, ns);
}

static void bench_map(const char *name, void *addr, __u64 size)
{
	__u64 start, mapped;

	start = t1_now();
	t1_map(&container, addr, IOVA, size, T1_RW);
	mapped = t1_now();
	t1_unmap(&container, IOVA, size);
	sample("map", name, mapped - start);
	sample("unmap", name, t1_now() - mapped);
}

static void bench_filled(const char *name, char *ram, __u64 size)
{
	__u64 pos;

	for (pos = 0; pos < size; pos += T1_PAGE)
		ram[pos] = 1;
	bench_map(name, ram, size);
}

static void bench_ram(const char *name, int advice)
{
	/* Twice the size, to have it aligned for huge pages */
	char *area = mmap(NULL, 2 * GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
			  MAP_NORESERVE, -1, 0);
	char *ram = (char *)(((unsigned long)area + GIB - 1) & ~(GIB - 1));

	T1_ASSERT(area != MAP_FAILED);
	T1_ASSERT(!madvise(ram, GIB, advice));
	bench_filled(name, ram, GIB);
	munmap(area, 2 * GIB);
}

static void set_hugetlb(unsigned int pages)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "w");

	T1_ASSERT(f && fprintf(f, "%u", pages) > 0 && !fclose(f));
}

static void bench_hugetlb(void)
{
	char *ram;

	set_hugetlb(HUGETLB_SIZE / (2 * MIB));
	ram = mmap(NULL, HUGETLB_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	T1_ASSERT(ram != MAP_FAILED);
	bench_filled("hugetlb", ram, HUGETLB_SIZE);
	munmap(ram, HUGETLB_SIZE);
	set_hugetlb(0);
}

static void map_many(void)
{
	int i;

	for (i = 0; i < MANY; i++)
		t1_map(&container, bar + i * 2 * MANY_SIZE, IOVA + i * 2 * MANY_SIZE, MANY_SIZE,
		       T1_RW);
}

static void unmap_many(void)
{
	int i;

	for (i = 0; i < MANY; i++)
		t1_unmap(&container, IOVA + i * 2 * MANY_SIZE, MANY_SIZE);
}

static void off_and_on(void)
{
	t1_set_memory(&dev, false);
	t1_set_memory(&dev, true);
}

static __u64 time_off_and_on(void)
{
	__u64 start = t1_now();
	int i;

	for (i = 0; i < TIMES; i++)
		off_and_on();
	return (t1_now() - start) / TIMES;
}

/* Enough for a page table each; stock kernels map all of it with the first touch. */
static void touch(const char *map, __u64 size)
{
	__u64 pos;

	for (pos = 0; pos < size; pos += MANY_SIZE)
		__atomic_load_n(map + pos, __ATOMIC_RELAXED);
}

/* A guest turns memory off and on dozens of times while it boots. */
static void bench_touched(const char *name, __u64 size)
{
	char *map = t1_bar_mmap(&dev, 2, 0, size);
	__u64 start;

	touch(map, size);
	start = t1_now();
	t1_set_memory(&dev, false);
	sample("off_touched", name, t1_now() - start);
	t1_set_memory(&dev, true);
	sample("off_on", name, time_off_and_on());
	munmap(map, size);
}

static void bench_many(void)
{
	__u64 start, without, with;

	/* Neither what the CPU has mapped nor what QEMU does is the question here. */
	off_and_on();
	without = time_off_and_on();
	map_many();
	start = t1_now();
	unmap_many();
	map_many();
	t1_sample("many_remap", t1_now() - start);
	with = time_off_and_on();
	t1_sample("many_off_on", with);
	t1_sample("many_suspend", with > without ? with - without : 0);
	unmap_many();
}

int main(int argc, char **argv)
{
	int i, rounds = argc > 1 ? atoi(argv[1]) : 3;
	const char *bdf = t1_find(T1_IVSHMEM, 0);

	if (!bdf) {
		fprintf(stderr, "%s\n", t1_find_hint(T1_IVSHMEM));
		return 4;
	}
	t1_container_open(&container);
	t1_device_open(&dev, &container, bdf);
	T1_ASSERT(t1_bar_size(&dev, 2) >= BAR_SIZE);
	bar = t1_bar_mmap(&dev, 2, 0, BAR_SIZE);

	for (i = 0; i < rounds; i++) {
		/* Stock kernels look page frames up where the CPU has them mapped. */
		touch(bar, BAR_SIZE);
		bench_map("bar_64m", bar, 64 * MIB);
		bench_map("bar_1g", bar, GIB);
		bench_map("bar_4g", bar, 4 * GIB);
		bench_ram("ram", MADV_NOHUGEPAGE);
		bench_ram("ram_huge", MADV_HUGEPAGE);
		bench_hugetlb();
		bench_many();
	}
	munmap(bar, BAR_SIZE);
	for (i = 0; i < rounds; i++) {
		bench_touched("1g", GIB);
		bench_touched("4g", 4 * GIB);
	}
	t1_device_close(&dev);
	t1_container_close(&container);
	return 0;
}
