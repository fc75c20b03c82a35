// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "type1.h"

void t1_fail(const char *file, int line, const char *what, int error)
{
	fprintf(stderr, "# %s:%d: %s%s%s\n", file, line, what, error ? ": " : "",
		error ? strerror(error) : "");
	abort();
}

int __t1_container_open(struct t1_container *c)
{
	memset(c, 0, sizeof(*c));
	c->fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	return c->fd < 0 ? -errno : 0;
}

void t1_container_open(struct t1_container *c)
{
	T1_ASSERT_OK(__t1_container_open(c));
	T1_ASSERT(ioctl(c->fd, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	T1_ASSERT(ioctl(c->fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1);
}

void t1_container_close(struct t1_container *c)
{
	close(c->fd);
	c->fd = -1;
}

static int group_open(struct t1_container *c, struct t1_group *group, int id)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[32];
	int ret;

	snprintf(path, sizeof(path), "/dev/vfio/%d", id);
	group->id = id;
	group->fd = open(path, O_RDWR | O_CLOEXEC);
	if (group->fd < 0)
		return -errno;

	if (ioctl(group->fd, VFIO_GROUP_GET_STATUS, &status))
		goto err_close;
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		errno = EPERM;
		goto err_close;
	}
	if (ioctl(group->fd, VFIO_GROUP_SET_CONTAINER, &c->fd))
		goto err_close;
	/* Only the first group of a container may, and has to, choose. */
	if (ioctl(c->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) && errno != EINVAL)
		goto err_unset;
	return 0;

err_unset:
	ret = -errno;
	ioctl(group->fd, VFIO_GROUP_UNSET_CONTAINER);
	errno = -ret;
err_close:
	ret = -errno;
	close(group->fd);
	return ret;
}

int __t1_group_get(struct t1_container *c, int id, struct t1_group **groupp)
{
	struct t1_group *group, *unused = NULL;
	int ret;

	for (group = c->groups; group < c->groups + T1_MAX_GROUPS; group++) {
		if (!group->users) {
			unused = unused ?: group;
		} else if (group->id == id) {
			group->users++;
			*groupp = group;
			return 0;
		}
	}

	if (!unused)
		return -ENOSPC;
	ret = group_open(c, unused, id);
	if (ret)
		return ret;
	unused->users = 1;
	*groupp = unused;
	return 0;
}

void t1_group_put(struct t1_group *group)
{
	/* Closing the file detaches the group as well. */
	if (!--group->users)
		close(group->fd);
}

int __t1_map(struct t1_container *c, void *vaddr, __u64 iova, __u64 size, __u32 flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (unsigned long)vaddr,
		.iova = iova,
		.size = size,
	};

	return ioctl(c->fd, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

void t1_map(struct t1_container *c, void *vaddr, __u64 iova, __u64 size, __u32 flags)
{
	T1_ASSERT_OK(__t1_map(c, vaddr, iova, size, flags));
}

static int unmap(struct t1_container *c, __u32 flags, __u64 iova, __u64 size,
		 struct vfio_bitmap bitmap, __u64 *unmapped)
{
	struct {
		struct vfio_iommu_type1_dma_unmap head;
		struct vfio_bitmap bitmap;
	} arg = {
		.head = { .argsz = sizeof(arg), .flags = flags, .iova = iova, .size = size },
		.bitmap = bitmap,
	};

	if (ioctl(c->fd, VFIO_IOMMU_UNMAP_DMA, &arg))
		return -errno;
	if (unmapped)
		*unmapped = arg.head.size;
	return 0;
}

int __t1_unmap(struct t1_container *c, __u64 iova, __u64 size, __u64 *unmapped)
{
	return unmap(c, 0, iova, size, (struct vfio_bitmap) { }, unmapped);
}

void t1_unmap(struct t1_container *c, __u64 iova, __u64 size)
{
	__u64 unmapped = 0;

	T1_ASSERT_OK(__t1_unmap(c, iova, size, &unmapped));
	T1_ASSERT(unmapped == size);
}

int __t1_unmap_all(struct t1_container *c, __u64 *unmapped)
{
	return unmap(c, VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, (struct vfio_bitmap) { }, unmapped);
}

int __t1_unmap_dirty(struct t1_container *c, __u64 iova, __u64 size, __u64 pgsize, __u64 *bitmap,
		     __u64 *unmapped)
{
	struct vfio_bitmap dirty = { .pgsize = pgsize, .size = sizeof(*bitmap), .data = bitmap };

	return unmap(c, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, iova, size, dirty, unmapped);
}

int __t1_unmap_bitmap(struct t1_container *c, __u64 iova, __u64 size, void *bitmap,
		      __u64 bitmap_size, __u64 *unmapped)
{
	struct vfio_bitmap dirty = { .pgsize = T1_PAGE, .size = bitmap_size, .data = bitmap };

	return unmap(c, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, iova, size, dirty, unmapped);
}

static int dirty_pages(struct t1_container *c, __u32 flags, __u64 iova, __u64 size, void *bitmap,
		       __u64 bitmap_size)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap head;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} arg = {
		.head = { .argsz = sizeof(arg), .flags = flags },
		.get = {
			.iova = iova,
			.size = size,
			.bitmap = { .pgsize = T1_PAGE, .size = bitmap_size, .data = bitmap },
		},
	};

	return ioctl(c->fd, VFIO_IOMMU_DIRTY_PAGES, &arg) ? -errno : 0;
}

int __t1_dirty_pages(struct t1_container *c, __u32 flags, __u64 iova, __u64 size, __u64 *bitmap)
{
	return dirty_pages(c, flags, iova, size, bitmap, sizeof(*bitmap));
}

int __t1_get_bitmap(struct t1_container *c, __u64 iova, __u64 size, void *bitmap,
		    __u64 bitmap_size)
{
	return dirty_pages(c, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, iova, size, bitmap,
			   bitmap_size);
}

struct vfio_info_cap_header *t1_info_cap(struct t1_container *c, __u16 id, void *buf, size_t size)
{
	struct vfio_iommu_type1_info *info = buf;
	struct vfio_info_cap_header *cap;

	memset(buf, 0, size);
	info->argsz = size;
	T1_ASSERT(!ioctl(c->fd, VFIO_IOMMU_GET_INFO, info));
	T1_ASSERT(info->argsz <= size && info->flags & VFIO_IOMMU_INFO_CAPS);
	for (__u32 pos = info->cap_offset; pos; pos = cap->next) {
		cap = buf + pos;
		if (cap->id == id)
			return cap;
	}
	return NULL;
}

unsigned int t1_dma_avail(struct t1_container *c)
{
	char buf[4096];
	struct vfio_info_cap_header *cap;

	cap = t1_info_cap(c, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, buf, sizeof(buf));
	T1_ASSERT(cap);
	return ((struct vfio_iommu_type1_info_dma_avail *)cap)->avail;
}

long t1_told(struct t1_container *c, const char *key)
{
	char path[64], line[128];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", c->fd);
	file = fopen(path, "r");
	T1_ASSERT(file);
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			T1_ASSERT(sscanf(line + strlen(key) + 1, "%ld", &value) == 1);
	}
	fclose(file);
	return value;
}

__u64 t1_locked_kib(void)
{
	char line[128];
	__u64 kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	T1_ASSERT(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmLck: %llu", &kib) == 1)
			break;
	fclose(f);
	return kib;
}
