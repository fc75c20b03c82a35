// SPDX-License-Identifier: GPL-2.0-only
/*
 * What PASIDs cost: ioctls against one that does nothing, few against a million
 * of them, all at once when a container loses its group, and memory.
 *
 * Takes two ivshmem devices, one of vfio_test, and root. With the argument "rates" it
 * does nothing but compare one process to two. Prints a line "name number" for each
 * sample: nanoseconds, or what the name says. Nothing here fails because of a time.
 */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/type1.h"
#include "../lib/type1_bench.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_vtest.h"

#define LAST		((1U << 20) - 1)
#define FEW		1000
#define MANY		1000000
#define CALLS		20000
#define RATE_SECONDS	1

static struct t1_container container;
static struct t1_group *group;

static void open_container(struct t1_container *c, struct t1_group **g, unsigned int nth)
{
	t1_container_open(c);
	T1_ASSERT_OK(__t1_group_get(c, t1_group_of(t1_find(T1_IVSHMEM, nth)), g));
}

static void alloc_many(int count)
{
	while (count--)
		t1_pasid_alloc(&container, 1, LAST);
}

/* An extension that the backend does not know: into it and back */
static void bench_null(void)
{
	__u64 begin = t1_now();
	int i;

	for (i = 0; i < CALLS; i++)
		ioctl(container.fd, VFIO_CHECK_EXTENSION, 0x7fff);
	t1_sample("null_ioctl", (t1_now() - begin) / CALLS);
}

static void bench_pair(const char *name)
{
	__u64 begin = t1_now();
	__u32 pasid;
	int i;

	for (i = 0; i < CALLS; i++) {
		pasid = t1_pasid_alloc(&container, 1, LAST);
		T1_ASSERT(__t1_pasid_free(&container, pasid, pasid) == 1);
	}
	t1_sample(name, (t1_now() - begin) / CALLS);
}

static void bench_alloc(const char *name)
{
	__u64 begin = t1_now();

	alloc_many(FEW);
	t1_sample(name, (t1_now() - begin) / FEW);
}

/* Of a device, to a space without mappings and back */
static void bench_attach(void)
{
	struct t1_container space;
	struct t1_vtest dev;
	__u32 pasid;
	__u64 begin;
	int i;

	t1_vtest_open(&dev, &container, t1_vtest_find(0));
	t1_space_create(&container, &space);
	pasid = t1_pasid_alloc(&container, 1, LAST);
	begin = t1_now();
	for (i = 0; i < CALLS; i++) {
		t1_pasid_attach(&dev, pasid, space.fd);
		T1_ASSERT_OK(__t1_pasid_detach(&dev, pasid));
	}
	t1_sample("attach_pair", (t1_now() - begin) / CALLS);
	T1_ASSERT(__t1_pasid_free(&container, pasid, pasid) == 1);
	close(space.fd);
	t1_vtest_close(&dev);
}

static long slab_bytes(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];
	long kb, sum = 0;

	T1_ASSERT(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Slab: %ld", &kb) == 1)
			sum = kb * 1024;
	}
	fclose(file);
	return sum;
}

static void bench_reclaim(const char *name, int count)
{
	long before = slab_bytes();
	__u64 begin;

	alloc_many(count);
	if (count == MANY)
		t1_sample("bytes_per_pasid", (slab_bytes() - before) / count);
	begin = t1_now();
	T1_ASSERT(!ioctl(group->fd, VFIO_GROUP_UNSET_CONTAINER));
	t1_sample(name, (t1_now() - begin) / count);
	T1_ASSERT(!ioctl(group->fd, VFIO_GROUP_SET_CONTAINER, &container.fd));
	T1_ASSERT(!ioctl(container.fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
}

/* Pairs of ALLOC and FREE in a second */
static long pair_rate(struct t1_container *c)
{
	__u64 end = t1_now() + RATE_SECONDS * 1000000000ULL;
	long count = 0;
	__u32 pasid;

	for (; t1_now() < end; count++) {
		pasid = t1_pasid_alloc(c, 1, LAST);
		T1_ASSERT(__t1_pasid_free(c, pasid, pasid) == 1);
	}
	return count / RATE_SECONDS;
}

/* The slower one of two processes, each with a container of its own */
static void bench_two(void)
{
	struct t1_container c;
	struct t1_group *g;
	long rate, other;
	int pipes[2];

	T1_ASSERT(!pipe(pipes));
	if (!fork()) {
		open_container(&c, &g, 1);
		T1_ASSERT(write(pipes[1], "", 1) == 1);
		rate = pair_rate(&c);
		T1_ASSERT(write(pipes[1], &rate, sizeof(rate)) == sizeof(rate));
		_exit(0);
	}
	T1_ASSERT(read(pipes[0], &other, 1) == 1);
	rate = pair_rate(&container);
	T1_ASSERT(read(pipes[0], &other, sizeof(other)) == sizeof(other));
	wait(NULL);
	t1_sample("pairs_of_each_of_two", rate < other ? rate : other);
}

static void bench_rates(void)
{
	t1_sample("pairs_of_one", pair_rate(&container));
	bench_two();
}

static void bench(void)
{
	bench_null();
	bench_pair("pair");
	alloc_many(FEW);
	bench_alloc("alloc_few");
	bench_pair("pair_few");
	bench_attach();
	T1_ASSERT(__t1_pasid_free(&container, 1, LAST) == 2 * FEW);
	bench_reclaim("reclaim_few", FEW * 10);
	alloc_many(MANY);
	bench_alloc("alloc_many");
	bench_pair("pair_many");
	T1_ASSERT(__t1_pasid_free(&container, 1, LAST) == MANY + FEW);
	bench_reclaim("reclaim_many", MANY);
}

int main(int argc, char **argv)
{
	T1_ASSERT_OK(__t1_pasids_per_group_set(LAST));
	open_container(&container, &group, 0);
	if (argc > 1 && !strcmp(argv[1], "rates"))
		bench_rates();
	else
		bench();
	t1_group_put(group);
	t1_container_close(&container);
	return 0;
}
