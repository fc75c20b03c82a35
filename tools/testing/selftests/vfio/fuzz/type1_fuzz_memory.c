// SPDX-License-Identifier: GPL-2.0-only
/* What a process does to its memory, and to that of devices. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../lib/type1_touch.h"
#include "../lib/type1_vtest.h"
#include "type1_fuzz.h"

/*
 * What a region of a kind of device can be used for. Not edu's registers: DMA to a
 * peer's memory would write there, see type1_fuzz_region.c. The registers of devices
 * with a driver of their own are only read, lest the bugs of QEMU's devices are
 * found instead of VFIO's.
 */
static const struct bar {
	int kind;
	int region;
	__u64 first, size;
	bool write;
} bars[] = {
	{ T1_EDU, 0, 0x1000, 0xff000, true },
	{ T1_IVSHMEM, 2, 0, 0x1000000, true },
	{ T1_IVSHMEM, 2, 0, 0x200000, true },
	{ T1_NVME, 0, 0x1000, 0x1000, false },
	{ T1_NVME, 2, 0, 0x1000000, true },
	{ T1_E1000E, 0, 0, 0x20000, false },
	{ FUZZ_VTEST, VFIO_TEST_REGION_MEM, 0, VFIO_TEST_MEM_SIZE, true },
};

static char *slot_address(unsigned int slot)
{
	return FUZZ_AREA + slot * FUZZ_SLOT;
}

/* Some pages, seldom more than a slot, that end within the area */
static size_t some_pages(struct fuzz *f, unsigned int slot)
{
	size_t size = fuzz_one_in(f, 2) ? FUZZ_SLOT : (1 + fuzz_below(f, 16)) * T1_PAGE;

	if (fuzz_one_in(f, 64))
		size += fuzz_below(f, FUZZ_SLOTS - slot) * FUZZ_SLOT;
	return size;
}

static void mark(struct fuzz *f, unsigned int slot, size_t size, int what)
{
	for (; size; slot++, size -= size < FUZZ_SLOT ? size : FUZZ_SLOT)
		f->proc->area[slot] = what;
}

static int op_mmap_ram(struct fuzz *f)
{
	unsigned int slot = fuzz_below(f, FUZZ_SLOTS);
	size_t size = some_pages(f, slot);
	int prot = fuzz_one_in(f, 8) ? PROT_READ : PROT_READ | PROT_WRITE;
	int flags = fuzz_one_in(f, 2) ? MAP_SHARED : MAP_PRIVATE;

	if (mmap(slot_address(slot), size, prot, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		return -errno;
	mark(f, slot, size, 0);
	return 0;
}

static const struct bar *choose_bar(struct fuzz *f, int kind)
{
	unsigned int i, first = fuzz_below(f, ARRAY_SIZE(bars));
	const struct bar *bar;

	for (i = 0; i < ARRAY_SIZE(bars); i++) {
		bar = &bars[(first + i) % ARRAY_SIZE(bars)];
		if (bar->kind == kind)
			return bar;
	}
	return NULL;
}

static int op_mmap_device(struct fuzz *f)
{
	unsigned int slot = fuzz_below(f, FUZZ_SLOTS);
	size_t size = some_pages(f, slot);
	const struct bar *bar;
	int dev, fd, prot;
	__u64 pos = 0;

	fd = fuzz_device(f, FUZZ_ANY, &dev);
	bar = fd < 0 ? NULL : choose_bar(f, f->shared->device[dev].kind);
	if (!bar)
		return 1;
	prot = bar->write && fuzz_below(f, 8) ? PROT_READ | PROT_WRITE : PROT_READ;
	if (size < bar->size && fuzz_one_in(f, 2))
		pos = fuzz_below(f, (bar->size - size) / T1_PAGE + 1) * T1_PAGE;
	pos += bar->first + ((__u64)bar->region << VFIO_TEST_OFFSET_SHIFT);
	if (fuzz_one_in(f, 64))	/* beyond the end */
		pos += bar->size;
	if (mmap(slot_address(slot), size, prot, MAP_SHARED | MAP_FIXED, fd, pos) == MAP_FAILED)
		return -errno;
	mark(f, slot, size, 1 + bar->kind);
	return 0;
}

static int op_munmap(struct fuzz *f)
{
	unsigned int slot = fuzz_below(f, FUZZ_SLOTS);

	return munmap(slot_address(slot), some_pages(f, slot)) ? -errno : 0;
}

static int op_mprotect(struct fuzz *f)
{
	unsigned int slot = fuzz_below(f, FUZZ_SLOTS);
	int prot = PROT_READ;

	if (f->proc->area[slot] <= 1 + T1_IVSHMEM && fuzz_below(f, 4))
		prot |= PROT_WRITE;
	return mprotect(slot_address(slot), some_pages(f, slot), prot) ? -errno : 0;
}

static int op_mremap(struct fuzz *f)
{
	unsigned int from = fuzz_below(f, FUZZ_SLOTS), to = fuzz_below(f, FUZZ_SLOTS);
	size_t size = (1 + fuzz_below(f, 16)) * T1_PAGE;
	size_t changed = fuzz_one_in(f, 2) ? size : (1 + fuzz_below(f, 16)) * T1_PAGE;

	/* Without a place of its own it may only shrink or grow where it is. */
	if (fuzz_one_in(f, 4))
		return mremap(slot_address(from), size, changed, 0) == MAP_FAILED ? -errno : 0;
	if (mremap(slot_address(from), size, changed, MREMAP_MAYMOVE | MREMAP_FIXED,
		   slot_address(to)) == MAP_FAILED)
		return -errno;
	mark(f, to, changed, f->proc->area[from]);
	return 0;
}

static int op_madvise(struct fuzz *f)
{
	/* None that breaks pages, which root may */
	static const int advices[] = {
		MADV_DONTNEED, MADV_WILLNEED, MADV_FREE, MADV_REMOVE, MADV_HUGEPAGE,
		MADV_NOHUGEPAGE, MADV_DONTFORK, MADV_DOFORK, MADV_COLD, MADV_PAGEOUT,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_SEQUENTIAL,
	};
	unsigned int slot = fuzz_below(f, FUZZ_SLOTS);
	int advice = advices[fuzz_below(f, ARRAY_SIZE(advices))];

	return madvise(slot_address(slot), some_pages(f, slot), advice) ? -errno : 0;
}

/* A signal counts as EFAULT. */
static int op_touch_read(struct fuzz *f)
{
	__u32 value;

	return touch_read(fuzz_address(f), &value) ? 0 : -EFAULT;
}

static int op_touch_write(struct fuzz *f)
{
	return touch_write(fuzz_address(f), fuzz_edge(f)) ? 0 : -EFAULT;
}

const struct fuzz_op fuzz_memory_ops[] = {
	{ "mmap_ram", 12, op_mmap_ram, FUZZ_ANY },
	{ "mmap_device", 25, op_mmap_device, FUZZ_ANY },
	{ "munmap", 8, op_munmap, FUZZ_ANY },
	{ "mprotect", 10, op_mprotect, FUZZ_ANY },
	{ "mremap", 4, op_mremap, FUZZ_ANY },
	{ "madvise", 12, op_madvise, FUZZ_ANY },
	{ "touch_read", 60, op_touch_read, FUZZ_ANY },
	{ "touch_write", 60, op_touch_write, FUZZ_ANY },
	{ }
};
