// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drive an edu and an ivshmem device by VFIO, from inside the nested guest that
 * nested_guest.sh starts. Each access to a BAR here ends in a mapping that the
 * host's vfio-pci made for QEMU; each DMA goes through the guest's virtual IOMMU
 * and the host's.
 *
 * Prints a line for each fact, with an exclamation mark before what should not
 * be. A line "@state" asks nested_guest.sh, which sees the host's side, to look:
 * it goes on with a line from there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "../lib/type1.h"
#include "../lib/type1_edu.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_touch.h"

#define PAGE		4096
#define IOVA		0x100000
#define EDU_IDENT	0x00
#define EDU_FACTORIAL	0x08
#define EDU_STATUS	0x20
#define EDU_COMPUTING	1
/* QEMU 7.2 aborts on a transfer that ends with the buffer. */
#define DMA_SIZE	(EDU_BUF_SIZE / 2)

static bool failed;

#define fact(ok, what, seen, ...) do {					\
	bool __ok = ok;							\
									\
	printf("%c %-41s -> " seen "\n", __ok ? ' ' : '!', what,	\
	       ##__VA_ARGS__);						\
	failed |= !__ok;						\
} while (0)

static void host_looks(const char *state)
{
	char answer[16];

	printf("@%s\n", state);
	T1_ASSERT(fgets(answer, sizeof(answer), stdin));
}

static __u32 edu_factorial(char *bar0, __u32 n)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	__u32 status, value;
	int left = 5000;

	T1_ASSERT(touch_write(bar0 + EDU_FACTORIAL, n));
	do {
		T1_ASSERT(left--);
		nanosleep(&ms, NULL);
		T1_ASSERT(touch_read(bar0 + EDU_STATUS, &status));
	} while (status & EDU_COMPUTING);
	T1_ASSERT(touch_read(bar0 + EDU_FACTORIAL, &value));
	return value;
}

static void drive_edu(struct t1_container *container)
{
	const char *bdf = t1_find(T1_EDU, 0);
	struct t1_device dev;
	__u32 value = 0, *ram;
	void *bar0;
	int i;

	T1_ASSERT(bdf);
	t1_device_open(&dev, container, bdf);
	bar0 = t1_bar_mmap(&dev, 0, 0, t1_bar_size(&dev, 0));

	touch_read((char *)bar0 + EDU_IDENT, &value);
	fact(value == 0x010000ed, "guest: edu's identification register", "%#x", value);
	value = edu_factorial(bar0, 10);
	fact(value == 3628800, "guest: 10!, computed by edu", "%u", value);

	ram = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	T1_ASSERT(ram != MAP_FAILED);
	for (i = 0; i < DMA_SIZE / 4; i++)
		ram[i] = 0x9e3779b9 * (i + 1);
	t1_map(container, ram, IOVA, PAGE, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	edu_dma_from(bar0, IOVA, 0, DMA_SIZE);
	edu_dma_to(bar0, IOVA + DMA_SIZE, 0, DMA_SIZE);
	value = !memcmp(ram, (char *)ram + DMA_SIZE, DMA_SIZE);
	fact(value, "guest: DMA of edu from RAM, back to RAM", "%d bytes, %s", DMA_SIZE,
	     value ? "equal" : "different");
	host_looks("dma_mapped");
	t1_unmap(container, IOVA, PAGE);

	munmap(bar0, t1_bar_size(&dev, 0));
	t1_device_close(&dev);
}

/* Number of words, one in each page of the BAR, that hold their pattern. */
static __u64 matching(char *bar, __u64 size)
{
	__u64 pos, count = 0;
	__u32 value;

	for (pos = 0; pos < size; pos += PAGE)
		count += touch_read(bar + pos, &value) && value == (__u32)(pos ^ 0x5a5a5a5a);
	return count;
}

static void drive_ivshmem(struct t1_container *container)
{
	const char *bdf = t1_find(T1_IVSHMEM, 0);
	struct t1_device dev;
	__u64 size, pos, count;
	__u32 value;
	char *bar2;

	T1_ASSERT(bdf);
	t1_device_open(&dev, container, bdf);
	size = t1_bar_size(&dev, 2);
	bar2 = t1_bar_mmap(&dev, 2, 0, size);

	for (pos = 0; pos < size; pos += PAGE)
		T1_ASSERT(touch_write(bar2 + pos, pos ^ 0x5a5a5a5a));
	count = matching(bar2, size);
	fact(count == size / PAGE, "guest: pattern written to ivshmem's BAR",
	     "%llu of %llu pages match", count, size / PAGE);

	host_looks("memory_on");
	t1_set_memory(&dev, false);
	host_looks("memory_off");
	value = touch_read(bar2, &value);
	fact(!value, "guest: access with ivshmem's memory off", "%s", value ? "works" : "SIGBUS");
	t1_set_memory(&dev, true);
	host_looks("memory_on");
	count = matching(bar2, size);
	fact(count == size / PAGE, "guest: pattern with memory on again",
	     "%llu of %llu pages match", count, size / PAGE);

	munmap(bar2, size);
	t1_device_close(&dev);
}

static const char *lands(bool yes)
{
	return yes ? "arrives" : "lost";
}

/* edu writes to ivshmem's BAR, by a mapping in the guest's VFIO. */
static void drive_peers(void)
{
	struct t1_target target;
	struct t1_rig rig;
	__u64 size = 1;
	bool ok;

	t1_rig_open(&rig, t1_find(T1_EDU, 0));
	t1_target_open(&target, t1_find(T1_IVSHMEM, 0), 2, 0);
	t1_map(&rig.c, target.mem, IOVA, T1_RIG_SIZE, T1_RW);
	ok = t1_dma_arrives(&rig, IOVA, target.mem);
	fact(ok, "guest: DMA of edu to ivshmem's BAR", "%s", lands(ok));
	t1_set_memory(&target.dev, false);
	t1_set_memory(&target.dev, true);
	ok = t1_dma_arrives(&rig, IOVA, target.mem);
	fact(ok, "guest: the same with memory on again", "%s", lands(ok));
	t1_target_close(&target);
	T1_ASSERT_OK(__t1_unmap(&rig.c, IOVA, T1_RIG_SIZE, &size));
	fact(!size, "guest: ivshmem closed, of its mapping", "%llu bytes left", size);
	t1_rig_close(&rig);
}

int main(void)
{
	struct t1_container container;

	setvbuf(stdout, NULL, _IOLBF, 0);
	touch_init();
	t1_container_open(&container);
	drive_edu(&container);
	drive_ivshmem(&container);
	t1_container_close(&container);
	drive_peers();
	return failed;
}
