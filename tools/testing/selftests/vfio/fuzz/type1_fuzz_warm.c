// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each operation once, before any is left to chance: a process with no other beside it
 * makes a state in which it can succeed, and does it until it does. Some choose one of
 * eight devices, or an argument that is wrong now and then, so that takes some tries;
 * none takes luck.
 *
 * What there is:
 *
 *	the first container	the first device of each kind with an IOMMU, without
 *				emulated ones, for these and VADDR exclude each other;
 *				RAM that is mapped, dirty tracking
 *	the second		a device without hardware, the same RAM, PASIDs
 *	the third		a spare group, but no IOMMU type
 *	no container		another spare group
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "../lib/type1_bench.h"
#include "../lib/type1_vtest.h"
#include "type1_fuzz.h"

#define TRIES		1000
#define IOVA		0x1000000UL
#define CONFIG		((__u64)VFIO_PCI_CONFIG_REGION_INDEX << VFIO_TEST_OFFSET_SHIFT)

enum { WITH_IOMMU, EMULATED, NO_TYPE, CONTAINERS };

/* The file in a place, opened if it is gone */
static int container(struct fuzz *f, unsigned int nr)
{
	int *place = &f->proc->files[FUZZ_CONTAINER][nr];

	if (*place < 0)
		*place = open("/dev/vfio/vfio", O_RDWR);
	return *place & 0xffff;
}

static int group(struct fuzz *f, int dev)
{
	int fd = fuzz_group_file(f, f->shared->device[dev].group);
	char path[32];

	if (fd < 0) {
		snprintf(path, sizeof(path), "/dev/vfio/%d", f->shared->device[dev].group);
		fd = open(path, O_RDWR);
		fuzz_keep(f, FUZZ_GROUP, fd, dev);
	}
	return fd;
}

static void attach(struct fuzz *f, int dev, unsigned int nr, bool type)
{
	int fd = container(f, nr);

	ioctl(group(f, dev), VFIO_GROUP_SET_CONTAINER, &fd);
	if (type)
		ioctl(fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
}

/* The nth device of a kind, or -1 */
static int nth(struct fuzz *f, int kind, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < f->shared->devices; i++)
		if (f->shared->device[i].kind == kind && !n--)
			return i;
	return -1;
}

static void power(int fd, __u32 number)
{
	struct vfio_device_feature feature = {
		.argsz = sizeof(feature),
		.flags = VFIO_DEVICE_FEATURE_SET | number,
	};

	ioctl(fd, VFIO_DEVICE_FEATURE, &feature);
}

/* Open, awake, with its memory on; asleep for who shall wake it */
static void have_device(struct fuzz *f, int kind, bool asleep)
{
	__u16 command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	int fd, same, dev = nth(f, kind, 0);

	if (dev < 0)
		return;
	attach(f, dev, kind == FUZZ_VTEST ? EMULATED : WITH_IOMMU, true);
	fd = fuzz_device(f, kind, &same);
	if (fd < 0) {
		fd = ioctl(group(f, dev), VFIO_GROUP_GET_DEVICE_FD, f->shared->device[dev].name);
		fuzz_keep(f, FUZZ_DEVICE, fd, dev);
	}
	if (kind == FUZZ_VTEST)
		return;
	power(fd, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);
	if (pwrite(fd, &command, sizeof(command), CONFIG + PCI_COMMAND) == sizeof(command) &&
	    asleep)
		power(fd, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
}

/* One group that can leave its container or choose its type, and one that can join one */
static void have_spare_groups(struct fuzz *f)
{
	int dev = nth(f, T1_EDU, 1);

	if (dev >= 0) {
		ioctl(group(f, dev), VFIO_GROUP_UNSET_CONTAINER);
		attach(f, dev, NO_TYPE, false);
	}
	dev = nth(f, T1_IVSHMEM, 1);
	if (dev >= 0)
		ioctl(group(f, dev), VFIO_GROUP_UNSET_CONTAINER);
}

/* Mapped at the same IOVA in both, with its address, after any operation on it */
static void have_mapping(int fd, char *ram)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = IOVA, .size = FUZZ_SLOT,
	};
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = T1_RW, .vaddr = (unsigned long)ram,
		.iova = IOVA, .size = FUZZ_SLOT,
	};
	struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = sizeof(dirty), .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};

	unmap.flags = VFIO_DMA_UNMAP_FLAG_ALL;
	unmap.iova = 0;
	unmap.size = 0;
	ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &unmap);
	ioctl(fd, VFIO_IOMMU_MAP_DMA, &map);
	ioctl(fd, VFIO_IOMMU_DIRTY_PAGES, &dirty);
}

/* The first slot has RAM, the second one a device's memory. */
static void have_memory(struct fuzz *f)
{
	int dev, fd = fuzz_device(f, T1_IVSHMEM, &dev);

	T1_ASSERT(mmap(FUZZ_AREA, FUZZ_SLOT, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == FUZZ_AREA);
	f->proc->area[0] = 0;
	if (fd >= 0 && mmap(FUZZ_AREA + FUZZ_SLOT, FUZZ_SLOT, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED, fd, 2ULL << VFIO_TEST_OFFSET_SHIFT) !=
	    MAP_FAILED)
		f->proc->area[1] = 1 + T1_IVSHMEM;
	have_mapping(container(f, WITH_IOMMU), FUZZ_AREA);
	have_mapping(container(f, EMULATED), FUZZ_AREA);
	memset(f->proc->mapped, 0, sizeof(f->proc->mapped));
	f->proc->mapped[0] = (struct fuzz_range) { IOVA, FUZZ_SLOT };
}

/* Four of them, of which the device may use two: see fuzz_pasid() */
static void have_pasids(struct fuzz *f)
{
	struct vfio_device_feature_pasid attach = {
		.flags = VFIO_DEVICE_PASID_ATTACH, .space = -1,
	};
	struct vfio_iommu_type1_pasid_request alloc = {
		.argsz = sizeof(alloc), .flags = VFIO_IOMMU_PASID_REQUEST_ALLOC,
	};
	int dev, fd = fuzz_device(f, FUZZ_VTEST, &dev);
	__u32 pasid;

	for (pasid = 1; pasid <= 4; pasid++) {
		alloc.min = pasid;
		alloc.max = pasid;
		ioctl(container(f, EMULATED), VFIO_IOMMU_PASID_REQUEST, &alloc);
		attach.pasid = pasid;
		if (fd >= 0 && pasid <= 2)
			__t1_pasid_feature(fd, VFIO_DEVICE_FEATURE_SET, T1_PASID_ARGSZ, &attach);
	}
}

static void have_devices(struct fuzz *f, bool asleep)
{
	int kind;

	for (kind = 0; kind <= FUZZ_VTEST; kind++)
		have_device(f, kind, asleep);
}

/* An operation may have closed a file that something else still depends on. */
static bool whole(struct fuzz *f)
{
	struct vfio_iommu_type1_info info;
	int kind, dev, same;

	for (kind = 0; kind <= FUZZ_VTEST; kind++) {
		dev = nth(f, kind, 0);
		if (dev < 0)
			continue;
		info.argsz = sizeof(info);	/* it returns what capabilities would take */
		if (fuzz_group_file(f, f->shared->device[dev].group) < 0 ||
		    fuzz_device(f, kind, &same) < 0 ||
		    ioctl(container(f, kind == FUZZ_VTEST ? EMULATED : WITH_IOMMU),
			  VFIO_IOMMU_GET_INFO, &info))
			return false;
	}
	return true;
}

static void have_all(struct fuzz *f, const char *op)
{
	bool asleep = !strcmp(op, "low_power_exit");

	have_devices(f, asleep);
	if (!whole(f)) {
		T1_ASSERT(mmap(FUZZ_AREA, FUZZ_AREA_SIZE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == FUZZ_AREA);
		memset(f->proc->area, 0, sizeof(f->proc->area));
		fuzz_close_all(f);
		have_devices(f, asleep);
	}
	have_spare_groups(f);
	if (f->proc->files[FUZZ_EVENTFD][0] < 0)
		f->proc->files[FUZZ_EVENTFD][0] = eventfd(0, EFD_NONBLOCK);
	have_memory(f);
	have_pasids(f);
}

/* What takes no file: a child that was forked has all of them for a while. */
static bool takes_state(const char *op)
{
	return strcmp(op, "fork") && strcmp(op, "wait") && strcmp(op, "exec");
}

static void do_op(struct fuzz *f, unsigned int op)
{
	struct fuzz_thread *thread = &f->proc->threads[f->thread];
	unsigned int try;

	thread->op = op;
	for (try = 0; try < TRIES && !f->shared->warm[op]; try++) {
		__atomic_store_n(&thread->since, t1_now(), __ATOMIC_RELAXED);
		if (takes_state(fuzz_ops[op].name))
			have_all(f, fuzz_ops[op].name);
		else if (try)	/* the child has some steps to do */
			usleep(50000);
		f->random = fuzz_mix(fuzz_mix(f->proc->stream, op), try);
		if (!fuzz_ops[op].run(f))
			f->shared->warm[op] = true;
	}
	__atomic_store_n(&thread->since, 0, __ATOMIC_RELAXED);
	f->shared->tries += try;
}

void fuzz_warm_up(struct fuzz *f)
{
	unsigned int op;

	for (op = 0; fuzz_ops[op].name; op++) {
		if (!fuzz_must_succeed(f->shared, op))
			continue;
		/* Does not return, and comes last: what follows is the new program's. */
		if (!strcmp(fuzz_ops[op].name, "exec"))
			f->proc->warming = false;
		do_op(f, op);
	}
	f->proc->warming = false;
}
