// SPDX-License-Identifier: GPL-2.0-only
/*
 * What CPU mappings of BARs cost: many small ones of a process, and a large one.
 *
 * Takes the ivshmem device with the largest BAR 2. Prints a line "name ns" for
 * each sample; scripts/bench makes medians of them and compares kernels. Nothing
 * here fails because of a time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../lib/type1.h"
#include "../lib/type1_bench.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_touch.h"

#define PAGE	4096UL
#define FEW	256
#define MANY	8192

static struct t1_container container;
static struct t1_device dev;
static void *maps[MANY];

/* Not touch_read(), whose preparations for SIGBUS would count as well */
static void touch(const void *addr)
{
	__atomic_load_n((const __u32 *)addr, __ATOMIC_RELAXED);
}

/* One page, one VMA each: a VM_PFNMAP area never merges with another. */
static void map_pages(int count)
{
	int i;

	for (i = 0; i < count; i++)
		maps[i] = t1_bar_mmap(&dev, 2, i * PAGE, PAGE);
}

static void touch_pages(int count)
{
	int i;

	for (i = 0; i < count; i++)
		touch(maps[i]);
}

static void unmap_pages(int count)
{
	int i;

	for (i = 0; i < count; i++)
		munmap(maps[i], PAGE);
}

/* As many mappings in total, whatever the number at a time */
static void bench_few(void)
{
	__u64 start, mapped, touched;
	int i;

	for (i = 0; i < MANY / FEW; i++) {
		start = t1_now();
		map_pages(FEW);
		mapped = t1_now();
		touch_pages(FEW);
		touched = t1_now();
		unmap_pages(FEW);
		t1_sample("few_map", (mapped - start) / FEW);
		t1_sample("few_touch", (touched - mapped) / FEW);
		t1_sample("few_both", (touched - start) / FEW);
	}
}

static void bench_many(void)
{
	__u64 start, mapped, touched;

	start = t1_now();
	map_pages(MANY);
	mapped = t1_now();
	touch_pages(MANY);
	touched = t1_now();
	t1_sample("many_map", (mapped - start) / MANY);
	t1_sample("many_touch", (touched - mapped) / MANY);
	t1_sample("many_both", (touched - start) / MANY);

	start = t1_now();
	t1_set_memory(&dev, false);
	t1_sample("many_zap", t1_now() - start);
	t1_set_memory(&dev, true);

	start = t1_now();
	touch_pages(MANY);
	t1_sample("many_touch_again", (t1_now() - start) / MANY);

	start = t1_now();
	unmap_pages(MANY);
	t1_sample("many_unmap", (t1_now() - start) / MANY);
}

static void bench_large(void)
{
	__u64 start, size = t1_bar_size(&dev, 2), pos;
	char *bar;

	bar = t1_bar_mmap(&dev, 2, 0, size);
	start = t1_now();
	touch(bar);
	t1_sample("large_first_touch", t1_now() - start);
	for (pos = PAGE; pos < size; pos += PAGE)
		touch(bar + pos);
	t1_sample("large_every_page", t1_now() - start);
	munmap(bar, size);
}

/*
 * The first use of anything pays for what it has to allocate: page tables and
 * slabs here, the memory behind the BAR on an emulated machine.
 */
static void warm_up(void)
{
	__u64 size = t1_bar_size(&dev, 2);
	char *bar = t1_bar_mmap(&dev, 2, 0, size);

	touch_all(bar, size);
	munmap(bar, size);
	map_pages(MANY);
	touch_pages(MANY);
	unmap_pages(MANY);
}

static void open_largest(void)
{
	struct t1_device other;
	const char *bdf;
	int i;

	for (i = 0; (bdf = t1_find(T1_IVSHMEM, i)); i++) {
		t1_device_open(&other, &container, bdf);
		if (i && t1_bar_size(&other, 2) <= t1_bar_size(&dev, 2)) {
			t1_device_close(&other);
			continue;
		}
		if (i)
			t1_device_close(&dev);
		dev = other;
	}
	if (!i) {
		fprintf(stderr, "%s\n", t1_find_hint(T1_IVSHMEM));
		exit(4);
	}
	T1_ASSERT(t1_bar_size(&dev, 2) >= MANY * PAGE);
}

int main(int argc, char **argv)
{
	int i, rounds = argc > 1 ? atoi(argv[1]) : 5;

	t1_container_open(&container);
	open_largest();
	warm_up();
	for (i = 0; i < rounds; i++) {
		bench_few();
		bench_many();
		bench_large();
	}
	t1_device_close(&dev);
	t1_container_close(&container);
	return 0;
}
