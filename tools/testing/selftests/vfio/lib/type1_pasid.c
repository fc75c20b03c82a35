// SPDX-License-Identifier: GPL-2.0-only
/* PASIDs from a container. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "type1.h"
#include "type1_pasid.h"

/* Ten seconds are promised; a machine may be busy. */
#define MS_TO_GIVE_BACK	30000
#define PARAMETER	"/sys/module/vfio_iommu_type1/parameters/pasids_per_group"

static int request(struct t1_container *c, struct vfio_iommu_type1_pasid_request *req)
{
	req->argsz = sizeof(*req);
	return ioctl(c->fd, VFIO_IOMMU_PASID_REQUEST, req) ? -errno : 0;
}

int __t1_pasid_alloc(struct t1_container *c, __u32 min, __u32 max)
{
	struct vfio_iommu_type1_pasid_request req = {
		.flags = VFIO_IOMMU_PASID_REQUEST_ALLOC,
		.min = min,
		.max = max,
	};
	int ret = request(c, &req);

	if (ret)
		return ret;
	T1_ASSERT(req.count == 1 && req.pasid >= min && req.pasid <= max);
	return req.pasid;
}

__u32 t1_pasid_alloc(struct t1_container *c, __u32 min, __u32 max)
{
	int pasid = __t1_pasid_alloc(c, min, max);

	T1_ASSERT_OK(pasid < 0 ? pasid : 0);
	return pasid;
}

int __t1_pasid_free(struct t1_container *c, __u32 min, __u32 max)
{
	struct vfio_iommu_type1_pasid_request req = {
		.flags = VFIO_IOMMU_PASID_REQUEST_FREE,
		.min = min,
		.max = max,
	};

	return request(c, &req) ?: (int)req.count;
}

unsigned int t1_pasid_alloc_all(struct t1_container *c, __u32 min, __u32 max)
{
	unsigned int count = 0;
	int ret;

	for (;;) {
		ret = __t1_pasid_alloc(c, min, max);
		if (ret == -EDQUOT || ret == -ENOSPC)
			return count;
		T1_ASSERT_OK(ret < 0 ? ret : 0);
		count++;
	}
}

struct vfio_iommu_type1_info_cap_pasid t1_pasid_info(struct t1_container *c)
{
	char buf[4096];
	struct vfio_info_cap_header *cap;

	cap = t1_info_cap(c, VFIO_IOMMU_TYPE1_INFO_CAP_PASID, buf, sizeof(buf));
	T1_ASSERT(cap);
	return *(struct vfio_iommu_type1_info_cap_pasid *)cap;
}

unsigned int t1_pasids_per_group(void)
{
	unsigned int value = 0;
	FILE *file = fopen(PARAMETER, "r");

	T1_ASSERT(file && fscanf(file, "%u", &value) == 1);
	fclose(file);
	return value;
}

int __t1_pasids_per_group_set(unsigned int value)
{
	int fd = open(PARAMETER, O_WRONLY);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (dprintf(fd, "%u", value) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

long t1_pasids_left(struct t1_container *c)
{
	unsigned int ms;
	long left = -1;

	for (ms = 0; ms < MS_TO_GIVE_BACK; ms += 10) {
		left = t1_told(c, "vfio-pasids");
		if (!left)
			break;
		usleep(10000);
	}
	return left;
}

int t1_pasid_alloc_soon(struct t1_container *c, __u32 min, __u32 max)
{
	unsigned int ms;
	int ret = -ETIMEDOUT;

	for (ms = 0; ms < MS_TO_GIVE_BACK; ms += 10) {
		ret = __t1_pasid_alloc(c, min, max);
		if (ret != -ENOSPC && ret != -EPERM)
			break;
		usleep(10000);
	}
	return ret;
}
