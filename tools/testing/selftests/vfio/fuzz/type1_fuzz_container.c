// SPDX-License-Identifier: GPL-2.0-only
/* Ioctls of containers and groups. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "type1_fuzz.h"

/* An ioctl whose argument is a number, or none */
static int call_number(struct fuzz *f, enum fuzz_file kind, unsigned long cmd, unsigned long arg)
{
	int dev, fd = fuzz_file(f, kind, &dev);

	if (fd < 0)
		return 1;
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

static int op_api_version(struct fuzz *f)
{
	return call_number(f, FUZZ_CONTAINER, VFIO_GET_API_VERSION, 0);
}

static int op_check_extension(struct fuzz *f)
{
	return call_number(f, FUZZ_CONTAINER, VFIO_CHECK_EXTENSION,
			   fuzz_or_edge(f, fuzz_below(f, 20)));
}

static int op_set_iommu(struct fuzz *f)
{
	static const unsigned long types[] = {
		VFIO_TYPE1v2_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_TYPE1v2_IOMMU,
		VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU, VFIO_TYPE1_NESTING_IOMMU, VFIO_NOIOMMU_IOMMU,
	};

	return call_number(f, FUZZ_CONTAINER, VFIO_SET_IOMMU,
			   fuzz_or_edge(f, types[fuzz_below(f, 8)]));
}

/* What DMA mappings are made in */
static enum fuzz_file mapper(struct fuzz *f)
{
	return fuzz_one_in(f, 4) ? FUZZ_SPACE : FUZZ_CONTAINER;
}

static int op_get_info(struct fuzz *f)
{
	char buf[1024] = {};
	struct vfio_iommu_type1_info *info = (void *)buf;

	info->argsz = fuzz_one_in(f, 4) ? sizeof(*info) + fuzz_below(f, 200) : sizeof(buf);
	return fuzz_call(f, mapper(f), VFIO_IOMMU_GET_INFO, buf, sizeof(*info));
}

static int map(struct fuzz *f, __u32 flags, char *vaddr, struct fuzz_range range)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (unsigned long)vaddr,
		.iova = range.iova,
		.size = range.size,
	};
	int ret = fuzz_call(f, mapper(f), VFIO_IOMMU_MAP_DMA, &map, sizeof(map));

	if (!ret)
		f->proc->mapped[fuzz_below(f, FUZZ_RANGES)] =
			(struct fuzz_range) { map.iova, map.size };
	return ret;
}

/* A place in the area where there was RAM, or where a device's memory was */
static char *find_area(struct fuzz *f, bool ram)
{
	unsigned int i, slot = fuzz_below(f, FUZZ_SLOTS);

	for (i = 0; i < FUZZ_SLOTS; i++, slot = (slot + 1) % FUZZ_SLOTS)
		if (!f->proc->area[slot] == ram)
			return FUZZ_AREA + slot * FUZZ_SLOT;
	return NULL;
}

static __u32 map_flags(struct fuzz *f)
{
	return fuzz_one_in(f, 3) ? fuzz_below(f, 3) + 1 : T1_RW;
}

static int op_map_ram(struct fuzz *f)
{
	char *vaddr = find_area(f, true);

	return vaddr ? map(f, map_flags(f), vaddr, fuzz_range(f)) : 1;
}

static int op_map_device(struct fuzz *f)
{
	char *vaddr = find_area(f, false);

	return vaddr ? map(f, map_flags(f), vaddr, fuzz_range(f)) : 1;
}

static int op_map_any(struct fuzz *f)
{
	return map(f, fuzz_or_edge(f, map_flags(f)), fuzz_address(f), fuzz_range(f));
}

static int unmap(struct fuzz *f, __u32 flags, struct fuzz_range range)
{
	__u64 buf[6] = { };
	struct vfio_iommu_type1_dma_unmap *arg = (void *)buf;

	arg->argsz = sizeof(buf);
	arg->flags = flags;
	arg->iova = range.iova;
	arg->size = range.size;
	*(struct vfio_bitmap *)arg->data = (struct vfio_bitmap) {
		.pgsize = T1_PAGE,
		.size = fuzz_or_edge(f, 256),
		.data = (void *)(f->scratch + T1_PAGE),
	};
	return fuzz_call(f, mapper(f), VFIO_IOMMU_UNMAP_DMA, buf, sizeof(buf));
}

static int op_unmap(struct fuzz *f)
{
	return unmap(f, 0, fuzz_mapped(f));
}

static int op_unmap_bitmap(struct fuzz *f)
{
	return unmap(f, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, fuzz_mapped(f));
}

static int op_unmap_all(struct fuzz *f)
{
	return unmap(f, VFIO_DMA_UNMAP_FLAG_ALL, (struct fuzz_range) { });
}

static int op_unmap_vaddr(struct fuzz *f)
{
	struct fuzz_range all = { };
	__u32 flags = VFIO_DMA_UNMAP_FLAG_VADDR;

	if (fuzz_one_in(f, 2))
		return unmap(f, flags | VFIO_DMA_UNMAP_FLAG_ALL, all);
	return unmap(f, flags, fuzz_mapped(f));
}

/* Half of the time right after the mapping has lost its address */
static int op_map_vaddr(struct fuzz *f)
{
	struct fuzz_range range = fuzz_mapped(f);
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = VFIO_DMA_UNMAP_FLAG_VADDR,
		.iova = range.iova,
		.size = range.size,
	};
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_VADDR,
		.vaddr = (unsigned long)fuzz_address(f),
		.iova = range.iova,
		.size = range.size,
	};
	int dev, fd = fuzz_file(f, mapper(f), &dev);

	if (fd < 0)
		return 1;
	if (fuzz_one_in(f, 2))
		ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &unmap);
	fuzz_mutate(f, &map, sizeof(map));
	return fuzz_ioctl(f, fd, VFIO_IOMMU_MAP_DMA, &map, sizeof(map));
}

static int dirty(struct fuzz *f, __u32 flags)
{
	struct fuzz_range range = fuzz_mapped(f);
	__u64 buf[6] = { };
	struct vfio_iommu_type1_dirty_bitmap *arg = (void *)buf;
	struct vfio_iommu_type1_dirty_bitmap_get *get = (void *)arg->data;

	arg->argsz = sizeof(buf);
	arg->flags = flags;
	get->iova = range.iova;
	get->size = range.size;
	get->bitmap.pgsize = T1_PAGE;
	get->bitmap.size = fuzz_or_edge(f, 256);
	get->bitmap.data = fuzz_one_in(f, 8) ? fuzz_pointer(f) : f->scratch + T1_PAGE;
	return fuzz_call(f, mapper(f), VFIO_IOMMU_DIRTY_PAGES, buf, sizeof(buf));
}

static int op_dirty_start(struct fuzz *f)
{
	return dirty(f, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
}

static int op_dirty_stop(struct fuzz *f)
{
	return dirty(f, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
}

static int op_dirty_bitmap(struct fuzz *f)
{
	return dirty(f, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP);
}

/* Numbers that VFIO has, or not, with memory that is no structure */
static int op_garbage(struct fuzz *f)
{
	enum fuzz_file kind = fuzz_below(f, FUZZ_DEVICE);
	unsigned int i, number = fuzz_below(f, 32);
	__u64 value;

	for (i = 0; i < 8; i++) {
		value = fuzz_edge(f);
		memcpy(f->scratch + 8 * i, &value, sizeof(value));
	}
	return call_number(f, kind, _IO(VFIO_TYPE, VFIO_BASE + number),
			   (unsigned long)fuzz_pointer(f));
}

static int op_group_status(struct fuzz *f)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	return fuzz_call(f, FUZZ_GROUP, VFIO_GROUP_GET_STATUS, &status, sizeof(status));
}

static int op_set_container(struct fuzz *f)
{
	int dev, container = fuzz_file(f, FUZZ_CONTAINER, &dev);

	return fuzz_call(f, FUZZ_GROUP, VFIO_GROUP_SET_CONTAINER, &container, sizeof(container));
}

static int op_unset_container(struct fuzz *f)
{
	return call_number(f, FUZZ_GROUP, VFIO_GROUP_UNSET_CONTAINER, 0);
}

const struct fuzz_op fuzz_container_ops[] = {
	{ "api_version", 20, op_api_version, FUZZ_ANY },
	{ "check_extension", 60, op_check_extension, FUZZ_ANY },
	{ "set_iommu", 15, op_set_iommu, FUZZ_ANY },
	{ "get_info", 80, op_get_info, FUZZ_ANY },
	{ "map_ram", 50, op_map_ram, FUZZ_ANY },
	{ "map_device", 60, op_map_device, FUZZ_ANY },
	{ "map_any", 15, op_map_any, FUZZ_ANY },
	{ "map_vaddr", 20, op_map_vaddr, FUZZ_ANY },
	{ "unmap", 60, op_unmap, FUZZ_ANY },
	{ "unmap_bitmap", 20, op_unmap_bitmap, FUZZ_ANY },
	{ "unmap_all", 6, op_unmap_all, FUZZ_ANY },
	{ "unmap_vaddr", 10, op_unmap_vaddr, FUZZ_ANY },
	{ "dirty_start", 15, op_dirty_start, FUZZ_ANY },
	{ "dirty_stop", 8, op_dirty_stop, FUZZ_ANY },
	{ "dirty_bitmap", 60, op_dirty_bitmap, FUZZ_ANY },
	{ "garbage", 10, op_garbage, FUZZ_ANY },
	{ "group_status", 40, op_group_status, FUZZ_ANY },
	{ "set_container", 25, op_set_container, FUZZ_ANY },
	{ "unset_container", 12, op_unset_container, FUZZ_ANY },
	{ }
};
