// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ioctls of a container against the detach of its last group, which takes away
 * what the ioctls work on, and against the open of a device.
 *
 * Fails on stock 6.1: the ioctls use memory that was freed, which a kernel with
 * KASAN reports. What they return is not looked at: the container has lost its
 * groups before they began.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_stall.h"
#include "../lib/type1_vtest.h"

#define IOVA	0x100000UL
#define PAGE	4096UL

FIXTURE(race) {
	struct t1_container container;
	struct t1_group *group;
	int group_id;
};

FIXTURE_SETUP(race)
{
	self->group_id = t1_group_of(t1_require(T1_IVSHMEM, 0));
	t1_container_open(&self->container);
	ASSERT_EQ(0, __t1_group_get(&self->container, self->group_id, &self->group));
}

/* The container works with its group as before. */
FIXTURE_TEARDOWN(race)
{
	void *ram = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	T1_ASSERT(ram != MAP_FAILED);
	t1_map(&self->container, ram, IOVA, PAGE, VFIO_DMA_MAP_FLAG_READ);
	t1_unmap(&self->container, IOVA, PAGE);
	munmap(ram, PAGE);
	t1_group_put(self->group);
	t1_container_close(&self->container);
}

static void detach(struct t1_group *group)
{
	T1_ASSERT(!ioctl(group->fd, VFIO_GROUP_UNSET_CONTAINER));
}

static void attach(struct t1_container *c, struct t1_group *group)
{
	T1_ASSERT(!ioctl(group->fd, VFIO_GROUP_SET_CONTAINER, &c->fd));
	T1_ASSERT(!ioctl(c->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
}

struct call {
	int fd;
	unsigned long cmd;
	void *arg;
};

static void *call_ioctl(void *arg)
{
	struct call *call = arg;

	ioctl(call->fd, call->cmd, call->arg);
	return NULL;
}

/* Let an ioctl wait for its argument while the last group is detached. */
static int detach_meanwhile(struct t1_container *c, struct t1_group *group, unsigned long cmd,
			    const void *arg, size_t size)
{
	struct t1_stall stall;
	struct call call = { .fd = c->fd, .cmd = cmd };
	pthread_t thread;
	int ret;

	ret = __t1_stall_init(&stall);
	if (ret)
		return ret;

	call.arg = stall.page;
	T1_ASSERT(!pthread_create(&thread, NULL, call_ioctl, &call));
	t1_stall_wait(&stall);
	detach(group);
	t1_stall_end(&stall, arg, size);
	T1_ASSERT(!pthread_join(thread, NULL));
	t1_stall_destroy(&stall);
	attach(c, group);
	return 0;
}

TEST_F(race, get_info)
{
	struct vfio_iommu_type1_info arg = { .argsz = sizeof(arg) };

	if (detach_meanwhile(&self->container, self->group, VFIO_IOMMU_GET_INFO, &arg,
			     sizeof(arg)))
		SKIP(return, T1_STALL_HINT);
}

TEST_F(race, map)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DMA_MAP_FLAG_READ,
		.vaddr = (unsigned long)self & ~(PAGE - 1),
		.iova = IOVA,
		.size = PAGE,
	};

	if (detach_meanwhile(&self->container, self->group, VFIO_IOMMU_MAP_DMA, &arg,
			     sizeof(arg)))
		SKIP(return, T1_STALL_HINT);
}

TEST_F(race, unmap)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.iova = IOVA,
		.size = PAGE,
	};

	if (detach_meanwhile(&self->container, self->group, VFIO_IOMMU_UNMAP_DMA, &arg,
			     sizeof(arg)))
		SKIP(return, T1_STALL_HINT);
}

TEST_F(race, dirty_pages)
{
	struct vfio_iommu_type1_dirty_bitmap arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};

	if (detach_meanwhile(&self->container, self->group, VFIO_IOMMU_DIRTY_PAGES, &arg,
			     sizeof(arg)))
		SKIP(return, T1_STALL_HINT);
}

TEST_F(race, pasid_request)
{
	struct vfio_iommu_type1_pasid_request arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_IOMMU_PASID_REQUEST_ALLOC,
		.min = 1,
		.max = 1,
	};

	if (ioctl(self->container.fd, VFIO_CHECK_EXTENSION, VFIO_PASID_ALLOC) != 1)
		SKIP(return, "the kernel has no PASIDs: CONFIG_VFIO_PASID=y");
	if (detach_meanwhile(&self->container, self->group, VFIO_IOMMU_PASID_REQUEST, &arg,
			     sizeof(arg)))
		SKIP(return, T1_STALL_HINT);
}

static bool stop;

struct opener {
	int group;
	const char *name;
	int device;
};

static void *open_device(void *arg)
{
	struct opener *o = arg;

	do
		o->device = ioctl(o->group, VFIO_GROUP_GET_DEVICE_FD, o->name);
	while (o->device < 0 && !__atomic_load_n(&stop, __ATOMIC_RELAXED));
	return NULL;
}

/* Either it has no IOMMU yet, or a whole one, which hears of the device. */
TEST(open_while_iommu_is_set)
{
	struct opener o = { .name = t1_vtest_find(0) };
	struct t1_container c;
	pthread_t thread;
	char path[32];
	int i, ret;

	if (!o.name)
		SKIP(return, T1_VTEST_HINT);
	snprintf(path, sizeof(path), "/dev/vfio/%d", t1_vtest_group(o.name));
	o.group = open(path, O_RDWR);
	ASSERT_LE(0, o.group);
	for (i = 0; i < 100; i++) {
		stop = false;
		t1_container_open(&c);
		ASSERT_EQ(0, ioctl(o.group, VFIO_GROUP_SET_CONTAINER, &c.fd));
		EXPECT_EQ(-1, ioctl(o.group, VFIO_GROUP_GET_DEVICE_FD, o.name));
		EXPECT_EQ(EINVAL, errno);
		ASSERT_EQ(0, pthread_create(&thread, NULL, open_device, &o));
		ret = ioctl(c.fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
		EXPECT_EQ(0, ret);
		if (ret || i % 2)
			__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		if (o.device >= 0)
			close(o.device);
		ASSERT_EQ(0, ioctl(o.group, VFIO_GROUP_UNSET_CONTAINER));
		t1_container_close(&c);
	}
	close(o.group);
}

static void *call_many(void *arg)
{
	struct vfio_iommu_type1_info info;
	int fd = *(int *)arg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		info.argsz = sizeof(info);
		ioctl(fd, VFIO_IOMMU_GET_INFO, &info);
		ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU);
	}
	return NULL;
}

TEST_F(race, many)
{
	pthread_t threads[2];
	unsigned int i;

	stop = false;
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, call_many, &self->container.fd));
	for (i = 0; i < 300; i++) {
		detach(self->group);
		attach(&self->container, self->group);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

TEST_HARNESS_MAIN
