// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device uses a PASID when its owner has attached it, and no longer than that. All
 * of this is in the container's own address space; others are in pasid_space_test.c.
 * The device is one of the vfio_test module.
 *
 * Fails on stock 6.1: no PASID can be attached.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_stall.h"
#include "../lib/type1_vtest.h"

#define PAGES	4
#define SIZE	(PAGES * T1_PAGE)
#define IOVA	0x1000000UL
#define VALUE	0x12345678U
#define MAX_USES	1024

FIXTURE(device) {
	struct t1_container c;
	struct t1_vtest dev;
	__u32 *mem, *ram;
	const char *name;
};

FIXTURE_SETUP(device)
{
	self->name = t1_vtest_find(0);
	if (!self->name || !t1_vtest_find(1))
		T1_SKIP("%s", T1_VTEST_HINT);
	t1_container_open(&self->c);
	t1_vtest_open(&self->dev, &self->c, self->name);
	self->mem = t1_vtest_mmap(&self->dev, T1_PAGE);
	self->ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->ram);
	t1_map(&self->c, self->ram, IOVA, SIZE, T1_RW);
	t1_pasid_alloc(&self->c, 5, 5);
}

/* Nothing is lost: the next owner gets every number. */
FIXTURE_TEARDOWN(device)
{
	struct t1_container c;
	struct t1_vtest dev;
	int i;

	munmap(self->mem, T1_PAGE);
	t1_vtest_close(&self->dev);
	t1_container_close(&self->c);
	munmap(self->ram, SIZE);

	t1_container_open(&c);
	t1_vtest_open(&dev, &c, self->name);
	for (i = 1; i <= 20; i++)
		EXPECT_EQ(i, __t1_pasid_alloc(&c, i, i));
	t1_vtest_close(&dev);
	t1_container_close(&c);
}

/* Can the device write to a page of the RAM, and read what it wrote? */
static int access_page(struct t1_vtest *dev, __u32 *mem, __u32 *ram, __u32 pasid, int page)
{
	__u64 iova = IOVA + page * T1_PAGE;
	__u32 *word = ram + page * T1_PAGE / sizeof(*ram);
	int status;

	*mem = VALUE;
	__atomic_store_n(word, 0, __ATOMIC_SEQ_CST);
	status = t1_job(dev, pasid, VFIO_TEST_WRITE, iova, sizeof(*mem));
	T1_ASSERT(__atomic_load_n(word, __ATOMIC_SEQ_CST) == (status ? 0 : VALUE));
	if (status)
		return status;
	*mem = 0;
	status = t1_job(dev, pasid, VFIO_TEST_READ, iova, sizeof(*mem));
	T1_ASSERT(*mem == (status ? 0 : VALUE));
	return status;
}

#define try_access(pasid, page) \
	access_page(&self->dev, self->mem, self->ram, pasid, page)

TEST_F(device, attach)
{
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(5, 0));
	t1_pasid_attach(&self->dev, 5, -1);
	EXPECT_EQ(VFIO_TEST_DONE, try_access(5, 0));
	EXPECT_EQ(VFIO_TEST_DONE, try_access(5, PAGES - 1));
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(6, 0));
	/* Without a PASID */
	EXPECT_EQ(VFIO_TEST_DONE, try_access(0, 0));

	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(5, 0));
	EXPECT_EQ(VFIO_TEST_DONE, try_access(0, 0));
	EXPECT_EQ(-ENOENT, __t1_pasid_detach(&self->dev, 5));
	t1_pasid_attach(&self->dev, 5, -1);
	EXPECT_EQ(VFIO_TEST_DONE, try_access(5, 0));
}

/* What is mapped, and how, is as without a PASID. */
TEST_F(device, memory)
{
	struct t1_vtest *dev = &self->dev;

	t1_pasid_attach(dev, 5, -1);
	EXPECT_EQ(VFIO_TEST_NO_MEMORY, t1_job(dev, 5, VFIO_TEST_READ, IOVA + SIZE, 8));
	EXPECT_EQ(VFIO_TEST_NO_MEMORY, t1_job(dev, 5, VFIO_TEST_READ, IOVA + SIZE - 4, 8));
	EXPECT_EQ(VFIO_TEST_DONE, t1_job(dev, 5, VFIO_TEST_READ, IOVA + SIZE - 8, 8));
	t1_unmap(&self->c, IOVA, SIZE);
	EXPECT_EQ(VFIO_TEST_NO_MEMORY, try_access(5, 0));
	t1_map(&self->c, self->ram, IOVA, SIZE, VFIO_DMA_MAP_FLAG_READ);
	EXPECT_EQ(VFIO_TEST_NO_MEMORY, try_access(5, 0));
	EXPECT_EQ(VFIO_TEST_DONE, t1_job(dev, 5, VFIO_TEST_READ, IOVA, 8));
}

/* In the order of the checks: each call has the error before as well, but for that */
TEST_F(device, bad_requests)
{
	struct t1_vtest *dev = &self->dev;
	struct {
		__u32 flags, argsz;
		struct vfio_device_feature_pasid req;
		int error;
	} calls[] = {
#define SET	VFIO_DEVICE_FEATURE_SET
#define GET	VFIO_DEVICE_FEATURE_GET
#define PROBE	VFIO_DEVICE_FEATURE_PROBE
#define ATTACH	VFIO_DEVICE_PASID_ATTACH
#define DETACH	VFIO_DEVICE_PASID_DETACH
#define SYSTEM	VFIO_DEVICE_PASID_SYSTEM
#define NO_FILE	10000
		{ PROBE, 8, {}, 0 },
		{ PROBE | SET, 8, {}, 0 },
		{ PROBE | GET, 8, {}, 0 },
		{ PROBE | GET | SET, 8, {}, 0 },
		{ 0, T1_PASID_ARGSZ, { ATTACH, 5, -1 }, -EINVAL },
		{ GET | SET, T1_PASID_ARGSZ, { ATTACH, 5, -1 }, -EINVAL },
		{ SET, 7, { ATTACH, 5, -1 }, -EINVAL },
		{ SET, T1_PASID_ARGSZ - 1, { ATTACH, 5, -1 }, -EINVAL },
		{ GET, T1_PASID_ARGSZ - 1, { 0, 5 }, -EINVAL },
		{ SET, T1_PASID_ARGSZ, { 0, 5, NO_FILE }, -EINVAL },
		{ SET, T1_PASID_ARGSZ, { ATTACH | DETACH, 5, NO_FILE }, -EINVAL },
		{ SET, T1_PASID_ARGSZ, { ATTACH | SYSTEM, 5, NO_FILE }, -EINVAL },
		{ SET, T1_PASID_ARGSZ, { 8, 5, NO_FILE }, -EINVAL },
		{ SET, T1_PASID_ARGSZ, { 1U << 31 | ATTACH, 5, NO_FILE }, -EINVAL },
		{ SET, T1_PASID_ARGSZ, { ATTACH, 5, NO_FILE, 1 }, -EINVAL },
		{ SET, T1_PASID_ARGSZ, { DETACH, 6, 0, 1 }, -EINVAL },
		{ SET, T1_PASID_ARGSZ, { DETACH, 6, -1 }, -EINVAL },
		{ SET, T1_PASID_ARGSZ, { DETACH, 5, 0 }, -ENOENT },
		{ SET, T1_PASID_ARGSZ, { ATTACH, 6, NO_FILE }, -EBADF },
		{ SET, T1_PASID_ARGSZ, { ATTACH, 6, -2 }, -EBADF },
		{ SET, T1_PASID_ARGSZ, { ATTACH, 6, self->c.fd }, -EINVAL },
		{ SET, T1_PASID_ARGSZ, { ATTACH, 0, -1 }, -ENOENT },
		{ SET, T1_PASID_ARGSZ, { ATTACH, 6, -1 }, -ENOENT },
		{ SET, T1_PASID_ARGSZ, { ATTACH, -1U, -1 }, -ENOENT },
		{ GET, T1_PASID_ARGSZ, { ATTACH, 5 }, -EINVAL },
		{ GET, T1_PASID_ARGSZ, { 8, 5 }, -EINVAL },
		{ SET, T1_PASID_ARGSZ + 100, { ATTACH, 5, -1 }, 0 },
		{ SET, T1_PASID_ARGSZ, { ATTACH, 5, -1 }, -EBUSY },
	};
	unsigned int i;

	for (i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		EXPECT_EQ(calls[i].error, __t1_pasid_feature(dev->fd, calls[i].flags,
							     calls[i].argsz, &calls[i].req))
			TH_LOG("call %u", i);

	/* Only the one that succeeded has done anything. */
	EXPECT_EQ(5, t1_pasid_next(dev, 0));
	EXPECT_EQ(0, t1_pasid_next(dev, 6));
	EXPECT_EQ(1, t1_told(&self->c, "vfio-pasids-attached"));
}

/* What GET has returned is good for the next GET. */
TEST_F(device, list)
{
	struct vfio_device_feature_pasid req = { .space = 77 };
	__u32 found[4] = {}, i;

	for (i = 1; i <= 3; i++) {
		t1_pasid_alloc(&self->c, 5 * i + 1, 5 * i + 1);
		t1_pasid_attach(&self->dev, 5 * i + 1, -1);
	}
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, __t1_pasid_feature(self->dev.fd, GET, T1_PASID_ARGSZ, &req));
		EXPECT_EQ(SYSTEM, req.flags);
		EXPECT_EQ(0xfffff, req.max_pasid);
		found[i] = req.pasid++;
	}
	EXPECT_EQ(6, found[0]);
	EXPECT_EQ(11, found[1]);
	EXPECT_EQ(16, found[2]);
	EXPECT_EQ(0, found[3]);
}

static int write_job(int fd, struct vfio_test_job job, size_t size, off_t pos)
{
	return pwrite(fd, &job, size, pos) < 0 ? -errno : 0;
}

/* What makes no sense is refused, and nothing is done. */
TEST_F(device, bad_jobs)
{
	const struct vfio_test_job good = {
		.command = VFIO_TEST_PIN, .iova = IOVA, .length = T1_PAGE,
	};
	const size_t size = sizeof(good);
	struct vfio_test_job job = good;
	int fd = self->dev.fd;

	EXPECT_EQ(-EINVAL, write_job(fd, good, size - 1, 0));
	EXPECT_EQ(-EINVAL, write_job(fd, good, size, 8));
	job.status = VFIO_TEST_RUNNING;
	EXPECT_EQ(-EINVAL, write_job(fd, job, size, 0));
	job = good;
	job.offset = T1_PAGE;
	EXPECT_EQ(-EINVAL, write_job(fd, job, size, 0));
	job = good;
	job.iova++;
	EXPECT_EQ(-EINVAL, write_job(fd, job, size, 0));
	job = good;
	job.length--;
	EXPECT_EQ(-EINVAL, write_job(fd, job, size, 0));
	EXPECT_EQ(-1, pread(fd, &job, size - 1, 0));
	EXPECT_EQ(-1, pread(fd, &job, size, 8));
	EXPECT_EQ(VFIO_TEST_DONE, t1_job_status(&self->dev));
	job = good;
	job.pasid = 5;		/* memory is not pinned under a PASID */
	EXPECT_EQ(-EINVAL, write_job(fd, job, size, 0));
	job.command = VFIO_TEST_READ;
	job.iova = -8ULL;
	EXPECT_EQ(-EINVAL, write_job(fd, job, size, 0));
	job.iova = IOVA;
	EXPECT_EQ(0, write_job(fd, job, size, 0));
	EXPECT_EQ(VFIO_TEST_NO_PASID, t1_job_wait(&self->dev));
}

/* Its memory is mapped from the start, to be shared, and no more than there is. */
TEST_F(device, bad_mmaps)
{
	static const struct {
		unsigned long size;
		off_t offset;
		int flags;
	} calls[] = {
		{ T1_PAGE, 0, MAP_SHARED },
		{ T1_PAGE, 2L << VFIO_TEST_OFFSET_SHIFT, MAP_SHARED },
		{ T1_PAGE, 1L << VFIO_TEST_OFFSET_SHIFT, MAP_PRIVATE },
		{ VFIO_TEST_MEM_SIZE + T1_PAGE, 1L << VFIO_TEST_OFFSET_SHIFT, MAP_SHARED },
		{ T1_PAGE, (1L << VFIO_TEST_OFFSET_SHIFT) + VFIO_TEST_MEM_SIZE, MAP_SHARED },
		{ T1_PAGE, (1L << VFIO_TEST_OFFSET_SHIFT) + 2 * VFIO_TEST_MEM_SIZE, MAP_SHARED },
	};
	unsigned int i;

	for (i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		EXPECT_EQ(MAP_FAILED, mmap(NULL, calls[i].size, PROT_READ, calls[i].flags,
					   self->dev.fd, calls[i].offset))
			TH_LOG("call %u", i);
		EXPECT_EQ(EINVAL, errno);
	}
}

TEST_F(device, bad_addresses)
{
	struct vfio_device_feature *arg;
	char *end;

	/* The header can be read, what it announces cannot. */
	end = mmap(NULL, 2 * T1_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, end);
	end += T1_PAGE;
	ASSERT_EQ(0, munmap(end, T1_PAGE));
	arg = (void *)(end - sizeof(*arg));
	arg->argsz = T1_PASID_ARGSZ;
	arg->flags = VFIO_DEVICE_FEATURE_PASID | VFIO_DEVICE_FEATURE_SET;
	EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_DEVICE_FEATURE, arg));
	EXPECT_EQ(EFAULT, errno);
	munmap(end - T1_PAGE, T1_PAGE);
}

TEST_F(device, only_so_many)
{
	unsigned int per_group = t1_pasids_per_group();
	__u32 pasid, count = 0;

	if (t1_pasid_info(&self->c).quota < MAX_USES + 1) {
		if (__t1_pasids_per_group_set(2 * MAX_USES))
			SKIP(return, "quota below %d, and only root can change that", MAX_USES + 1);
	}
	for (pasid = 100; pasid < 100 + MAX_USES; pasid++) {
		t1_pasid_alloc(&self->c, pasid, pasid);
		ASSERT_EQ(0, __t1_pasid_attach(&self->dev, pasid, -1));
	}
	EXPECT_EQ(-ENOSPC, __t1_pasid_attach(&self->dev, 5, -1));
	EXPECT_EQ(-EBUSY, __t1_pasid_attach(&self->dev, 100, -1));
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 100));
	EXPECT_EQ(0, __t1_pasid_attach(&self->dev, 5, -1));

	/* All can be listed. */
	for (pasid = 0; (pasid = t1_pasid_next(&self->dev, pasid)); pasid++)
		count++;
	EXPECT_EQ(MAX_USES, count);
	EXPECT_EQ(MAX_USES, __t1_pasid_free(&self->c, 1, 99 + MAX_USES) - 1);
	EXPECT_EQ(0, t1_pasid_next(&self->dev, 0));
	__t1_pasids_per_group_set(per_group);
}

/* A PCI function, whose PASIDs the IOMMU would have to know */
TEST_F(device, no_support)
{
	struct vfio_device_feature_pasid req = { ATTACH, 5, -1 };
	const char *bdf = t1_require(T1_IVSHMEM, 0);
	struct t1_container c;
	struct t1_device dev;

	t1_container_open(&c);
	t1_device_open(&dev, &c, bdf);
	EXPECT_EQ(-ENOTTY, __t1_pasid_feature(dev.fd, SET, T1_PASID_ARGSZ, &req));
	EXPECT_EQ(-ENOTTY, __t1_pasid_feature(dev.fd, PROBE, T1_PASID_ARGSZ, &req));
	t1_device_close(&dev);
	t1_container_close(&c);
}

/* Each device for itself */
TEST_F(device, two_devices)
{
	struct t1_vtest other;
	__u32 *mem;

	t1_vtest_open(&other, &self->c, t1_vtest_find(1));
	mem = t1_vtest_mmap(&other, T1_PAGE);
	t1_pasid_attach(&self->dev, 5, -1);
	EXPECT_EQ(VFIO_TEST_NO_PASID, access_page(&other, mem, self->ram, 5, 0));
	t1_pasid_attach(&other, 5, -1);
	EXPECT_EQ(VFIO_TEST_DONE, try_access(5, 0));
	EXPECT_EQ(VFIO_TEST_DONE, access_page(&other, mem, self->ram, 5, 1));

	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(5, 0));
	EXPECT_EQ(VFIO_TEST_DONE, access_page(&other, mem, self->ram, 5, 1));
	t1_pasid_attach(&self->dev, 5, -1);
	EXPECT_EQ(1, __t1_pasid_free(&self->c, 5, 5));
	EXPECT_EQ(-ENOENT, __t1_pasid_detach(&self->dev, 5));
	EXPECT_EQ(-ENOENT, __t1_pasid_detach(&other, 5));
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(5, 0));
	EXPECT_EQ(VFIO_TEST_NO_PASID, access_page(&other, mem, self->ram, 5, 1));
	munmap(mem, T1_PAGE);
	t1_vtest_close(&other);
}

/* The PASID of another container, which goes away with that */
TEST_F(device, two_containers)
{
	struct t1_container c;
	struct t1_vtest other;

	t1_container_open(&c);
	t1_vtest_open(&other, &c, t1_vtest_find(1));
	t1_pasid_alloc(&c, 7, 7);
	t1_pasid_attach(&self->dev, 7, -1);
	EXPECT_EQ(VFIO_TEST_DONE, try_access(7, 0));
	t1_vtest_close(&other);
	EXPECT_EQ(0, t1_pasid_next(&self->dev, 0));
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(7, 0));
	t1_container_close(&c);
}

static void wait_for_pasid(struct t1_container *c, __u32 pasid)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	int ret;

	while ((ret = __t1_pasid_alloc(c, pasid, pasid)) == -ENOSPC)
		nanosleep(&ms, NULL);
	T1_ASSERT(ret == (int)pasid);
}

/*
 * The device's access waits for the lock of the container, which another thread holds
 * for as long as it likes. Whoever detaches does not wait for that thread.
 */
TEST_F(device, detach_while_busy)
{
	struct t1_busy busy;

	t1_pasid_attach(&self->dev, 5, -1);
	if (__t1_busy_begin(&busy, &self->c, IOVA, SIZE))
		SKIP(return, T1_STALL_HINT);
	ASSERT_EQ(0, __t1_job_start(&self->dev, 5, VFIO_TEST_WRITE, IOVA, 8));
	EXPECT_EQ(VFIO_TEST_RUNNING, t1_job_leaves(&self->dev, VFIO_TEST_QUEUED));
	EXPECT_EQ(-EBUSY, __t1_job_start(&self->dev, 5, VFIO_TEST_WRITE, IOVA, 8));
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));
	EXPECT_EQ(VFIO_TEST_NO_MEMORY, t1_job_wait(&self->dev));

	/* The same when it is freed, by the worker */
	EXPECT_EQ(1, __t1_pasid_free(&self->c, 5, 5));
	wait_for_pasid(&self->c, 5);
	t1_busy_end(&busy);
	t1_pasid_attach(&self->dev, 5, -1);
	EXPECT_EQ(VFIO_TEST_DONE, try_access(5, 0));
}

TEST_F(device, free_while_busy)
{
	struct t1_busy busy;

	t1_pasid_attach(&self->dev, 5, -1);
	if (__t1_busy_begin(&busy, &self->c, IOVA, SIZE))
		SKIP(return, T1_STALL_HINT);
	ASSERT_EQ(0, __t1_job_start(&self->dev, 5, VFIO_TEST_WRITE, IOVA, 8));
	EXPECT_EQ(VFIO_TEST_RUNNING, t1_job_leaves(&self->dev, VFIO_TEST_QUEUED));
	EXPECT_EQ(1, __t1_pasid_free(&self->c, 5, 5));
	wait_for_pasid(&self->c, 5);
	EXPECT_EQ(VFIO_TEST_NO_MEMORY, t1_job_wait(&self->dev));
	t1_busy_end(&busy);
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(5, 0));
}

/* Each way to end a use while the device waits for a page that never comes */
static void end_detach(struct t1_container *c, struct t1_vtest *dev)
{
	T1_ASSERT_OK(__t1_pasid_detach(dev, 5));
	T1_ASSERT(t1_job_wait(dev) == VFIO_TEST_NO_MEMORY);
}

static void end_free(struct t1_container *c, struct t1_vtest *dev)
{
	T1_ASSERT(__t1_pasid_free(c, 5, 5) == 1);
	T1_ASSERT(!t1_pasid_next(dev, 0));
	T1_ASSERT(t1_job_wait(dev) == VFIO_TEST_NO_MEMORY);
	t1_pasid_alloc(c, 5, 5);
}

static void end_reset(struct t1_container *c, struct t1_vtest *dev)
{
	T1_ASSERT(!ioctl(dev->fd, VFIO_DEVICE_RESET));
	T1_ASSERT(t1_job_status(dev) == VFIO_TEST_NO_MEMORY);
}

static void end_close(struct t1_container *c, struct t1_vtest *dev)
{
	t1_vtest_close(dev);
}

/* Nobody else, not even a new one of ours, waits that long: there is a limit. */
static void end_time(struct t1_container *c, struct t1_vtest *dev)
{
	T1_ASSERT(t1_job_wait(dev) == VFIO_TEST_NO_MEMORY);
}

static void end_kill(struct t1_container *c, struct t1_vtest *dev)
{
	kill(getpid(), SIGKILL);
}

FIXTURE(stalled) {
	const char *name;
};

FIXTURE_VARIANT(stalled) {
	void (*end)(struct t1_container *c, struct t1_vtest *dev);
	int status;
};

FIXTURE_VARIANT_ADD(stalled, detach) { .end = end_detach };
FIXTURE_VARIANT_ADD(stalled, free) { .end = end_free };
FIXTURE_VARIANT_ADD(stalled, reset) { .end = end_reset };
FIXTURE_VARIANT_ADD(stalled, close) { .end = end_close };
FIXTURE_VARIANT_ADD(stalled, time) { .end = end_time };
FIXTURE_VARIANT_ADD(stalled, kill) { .end = end_kill, .status = SIGKILL };

FIXTURE_SETUP(stalled)
{
	self->name = t1_vtest_find(0);
	if (!self->name)
		T1_SKIP("%s", T1_VTEST_HINT);
}

FIXTURE_TEARDOWN(stalled)
{
}

static void stall_and_end(const char *name,
			  void (*end)(struct t1_container *c, struct t1_vtest *dev))
{
	struct t1_container c;
	struct t1_stall stall;
	struct t1_vtest dev;

	T1_ASSERT_OK(__t1_stall_init(&stall));
	t1_container_open(&c);
	t1_vtest_open(&dev, &c, name);
	t1_map(&c, stall.page, IOVA, T1_PAGE, T1_RW);
	t1_pasid_alloc(&c, 5, 5);
	t1_pasid_attach(&dev, 5, -1);
	T1_ASSERT_OK(__t1_job_start(&dev, 5, VFIO_TEST_READ, IOVA, 8));
	t1_stall_wait(&stall);
	end(&c, &dev);
}

TEST_F(stalled, end)
{
	struct t1_container c;
	struct t1_vtest dev;
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		stall_and_end(self->name, variant->end);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(variant->status, status);

	/* Device and PASID are free for others. */
	t1_container_open(&c);
	t1_vtest_open(&dev, &c, self->name);
	t1_pasid_alloc(&c, 5, 5);
	t1_vtest_close(&dev);
	t1_container_close(&c);
}

/* Who is not the owner can take away, but not give. */
TEST_F(device, another_process)
{
	struct t1_vtest *dev = &self->dev;

	t1_pasid_attach(dev, 5, -1);
	t1_pasid_alloc(&self->c, 6, 6);
	T1_IN_CHILD(T1_ASSERT(__t1_pasid_attach(dev, 6, -1) == -EPERM);
		    T1_ASSERT(t1_pasid_next(dev, 0) == 5);
		    /* The device's access is not the child's: it shows in our memory. */
		    T1_ASSERT(try_access(5, 0) == VFIO_TEST_DONE);
		    T1_ASSERT_OK(__t1_pasid_detach(dev, 5)));
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(5, 0));
}

/* A PASID of another process, to which ours is a foreign one */
TEST_F(device, foreign_pasid)
{
	struct t1_container c;
	struct t1_vtest other;

	T1_IN_CHILD(t1_container_open(&c);
		    t1_vtest_open(&other, &c, t1_vtest_find(1));
		    t1_pasid_alloc(&c, 8, 8);
		    T1_ASSERT(__t1_pasid_attach(&other, 5, -1) == -EACCES);
		    T1_ASSERT(t1_job(&other, 5, VFIO_TEST_READ, IOVA, 8) == VFIO_TEST_NO_PASID));
	t1_pasid_attach(&self->dev, 5, -1);
}

/* Who opens the device next finds nothing attached, even if the PASID lives on. */
TEST_F(device, close)
{
	struct t1_vtest other;
	int fd = self->dev.fd;

	t1_vtest_open(&other, &self->c, t1_vtest_find(1));
	t1_pasid_attach(&self->dev, 5, -1);
	/* One of two files */
	self->dev.fd = ioctl(self->dev.group->fd, VFIO_GROUP_GET_DEVICE_FD, self->name);
	ASSERT_LE(0, self->dev.fd);
	close(fd);
	EXPECT_EQ(VFIO_TEST_DONE, try_access(5, 0));

	munmap(self->mem, T1_PAGE);
	t1_vtest_close(&self->dev);
	EXPECT_EQ(0, t1_told(&self->c, "vfio-pasids-attached"));
	t1_vtest_open(&self->dev, &self->c, self->name);
	self->mem = t1_vtest_mmap(&self->dev, T1_PAGE);
	EXPECT_EQ(0, t1_pasid_next(&self->dev, 0));
	EXPECT_EQ(VFIO_TEST_NO_PASID, try_access(5, 0));
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(&self->c, 5, 5));
	t1_vtest_close(&other);
}

/* Container, group and device, closed in every order; what was attached ends. */
TEST_F(device, close_order)
{
	static const int orders[][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
	};
	struct t1_container c;
	struct t1_vtest dev;
	unsigned int i, j;

	for (i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		t1_container_open(&c);
		t1_vtest_open(&dev, &c, t1_vtest_find(1));
		EXPECT_EQ(0, t1_pasid_next(&dev, 0));
		t1_pasid_alloc(&c, 6, 6);
		t1_pasid_attach(&dev, 6, -1);
		for (j = 0; j < 3; j++) {
			int fds[] = { c.fd, dev.group->fd, dev.fd };

			close(fds[orders[i][j]]);
		}
	}
}

/* The other direction: a device's memory without a PCI function around it */
TEST_F(device, peer)
{
	const char *edu = t1_require(T1_EDU, 0);
	struct t1_rig rig;

	t1_rig_open(&rig, edu);
	t1_map(&rig.c, self->mem, 0x2000000, T1_PAGE, T1_RW);
	EXPECT_TRUE(t1_dma_arrives(&rig, 0x2000000, self->mem));
	munmap(self->mem, T1_PAGE);
	t1_vtest_close(&self->dev);
	EXPECT_EQ(rig.avail - 1, t1_dma_avail(&rig.c));
	t1_rig_close(&rig);

	t1_vtest_open(&self->dev, &self->c, self->name);
	self->mem = t1_vtest_mmap(&self->dev, T1_PAGE);
	EXPECT_EQ(0, *self->mem);
}

TEST_HARNESS_MAIN
