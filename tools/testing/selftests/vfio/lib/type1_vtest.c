// SPDX-License-Identifier: GPL-2.0-only
/* Devices of the vfio_test module, and the spaces that they reach under PASIDs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "type1.h"
#include "type1_find.h"
#include "type1_vtest.h"

int t1_vtest_group(const char *name)
{
	char dir[64];

	snprintf(dir, sizeof(dir), "/sys/bus/platform/devices/%s", name);
	return t1_group_at(dir);
}

const char *t1_vtest_find(unsigned int nth)
{
	char name[32];

	snprintf(name, sizeof(name), "vfio-test.%u", nth);
	return t1_group_usable(t1_vtest_group(name)) ? strdup(name) : NULL;
}

void t1_vtest_open(struct t1_vtest *dev, struct t1_container *c, const char *name)
{
	T1_ASSERT_OK(__t1_group_get(c, t1_vtest_group(name), &dev->group));
	dev->fd = ioctl(dev->group->fd, VFIO_GROUP_GET_DEVICE_FD, name);
	T1_ASSERT(dev->fd >= 0);
}

void t1_vtest_close(struct t1_vtest *dev)
{
	close(dev->fd);
	t1_group_put(dev->group);
	dev->fd = -1;
}

void *t1_vtest_mmap(struct t1_vtest *dev, size_t size)
{
	void *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd,
			  (off_t)VFIO_TEST_REGION_MEM << VFIO_TEST_OFFSET_SHIFT);

	T1_ASSERT(addr != MAP_FAILED);
	return addr;
}

int __t1_pasid_feature(int fd, __u32 flags, __u32 argsz, struct vfio_device_feature_pasid *req)
{
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_pasid pasid;
	} arg = {
		.head = { .argsz = argsz, .flags = VFIO_DEVICE_FEATURE_PASID | flags },
		.pasid = *req,
	};
	int ret = ioctl(fd, VFIO_DEVICE_FEATURE, &arg) ? -errno : 0;

	*req = arg.pasid;
	return ret;
}

static int feature(struct t1_vtest *dev, __u32 flags, struct vfio_device_feature_pasid *req)
{
	return __t1_pasid_feature(dev->fd, flags, T1_PASID_ARGSZ, req);
}

static int set_pasid(struct t1_vtest *dev, __u32 flags, __u32 pasid, int space)
{
	struct vfio_device_feature_pasid req = { .flags = flags, .pasid = pasid, .space = space };

	return feature(dev, VFIO_DEVICE_FEATURE_SET, &req);
}

int __t1_pasid_attach(struct t1_vtest *dev, __u32 pasid, int space)
{
	return set_pasid(dev, VFIO_DEVICE_PASID_ATTACH, pasid, space);
}

void t1_pasid_attach(struct t1_vtest *dev, __u32 pasid, int space)
{
	T1_ASSERT_OK(__t1_pasid_attach(dev, pasid, space));
}

int __t1_pasid_detach(struct t1_vtest *dev, __u32 pasid)
{
	return set_pasid(dev, VFIO_DEVICE_PASID_DETACH, pasid, 0);
}

__u32 t1_pasid_next(struct t1_vtest *dev, __u32 pasid)
{
	struct vfio_device_feature_pasid req = { .pasid = pasid };

	T1_ASSERT_OK(feature(dev, VFIO_DEVICE_FEATURE_GET, &req));
	T1_ASSERT(req.flags == VFIO_DEVICE_PASID_SYSTEM && req.max_pasid == 0xfffff);
	return req.pasid;
}

int __t1_space_create(struct t1_container *c, struct t1_container *space)
{
	struct vfio_iommu_type1_space_create create = { .argsz = sizeof(create), .device = -1 };

	memset(space, 0, sizeof(*space));
	space->fd = ioctl(c->fd, VFIO_IOMMU_SPACE_CREATE, &create);
	return space->fd < 0 ? -errno : 0;
}

void t1_space_create(struct t1_container *c, struct t1_container *space)
{
	T1_ASSERT_OK(__t1_space_create(c, space));
}

int __t1_job_start(struct t1_vtest *dev, __u32 pasid, __u32 command, __u64 iova, __u32 length)
{
	struct vfio_test_job job = {
		.pasid = pasid,
		.command = command,
		.iova = iova,
		.length = length,
	};

	return pwrite(dev->fd, &job, sizeof(job), 0) == sizeof(job) ? 0 : -errno;
}

int t1_job_status(struct t1_vtest *dev)
{
	struct vfio_test_job job;

	T1_ASSERT(pread(dev->fd, &job, sizeof(job), 0) == sizeof(job));
	return job.status;
}

int t1_job_leaves(struct t1_vtest *dev, int status)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	int now;

	while ((now = t1_job_status(dev)) == status)
		nanosleep(&ms, NULL);
	return now;
}

int t1_job_wait(struct t1_vtest *dev)
{
	t1_job_leaves(dev, VFIO_TEST_QUEUED);
	return t1_job_leaves(dev, VFIO_TEST_RUNNING);
}

int t1_job(struct t1_vtest *dev, __u32 pasid, __u32 command, __u64 iova, __u32 length)
{
	T1_ASSERT_OK(__t1_job_start(dev, pasid, command, iova, length));
	return t1_job_wait(dev);
}
