// SPDX-License-Identifier: GPL-2.0-only
/*
 * The size that userspace says in argsz, for each ioctl and feature: too small is
 * EINVAL and changes nothing, the size of the structure is enough and nothing behind
 * it is touched, a larger one is taken whatever the rest contains.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_vtest.h"

#define IOVA	0x2000000UL
#define MORE	64	/* bytes behind the structure */
#define REST	0xa5

#define offsetofend(type, member) \
	(offsetof(type, member) + sizeof(((type *)0)->member))

struct request;

struct objects {
	const struct request *r;	/* of the variant */
	struct t1_container c;
	struct t1_device edu, dev;
	struct t1_vtest vtest;
	int event;
	char *ram;
	/* Two pages, of which the second one cannot be accessed */
	char *page;
};

struct request {
	unsigned int number;
	__u32 size;
	/* Fill in all but argsz; returns the file. */
	int (*fill)(struct objects *o, void *arg);
	/* Back to before, after a call that did something */
	void (*undo)(struct objects *o);
	/* Does the answer go on behind the structure, where argsz has room? */
	bool capabilities;
	bool file;	/* is the result one? */
};

FIXTURE(size) {
	struct objects o;
};

FIXTURE_VARIANT(size) {
	struct request r;
};

static int fill_nothing(struct objects *o, void *arg)
{
	return o->c.fd;
}

FIXTURE_VARIANT_ADD(size, iommu_get_info) {
	.r = {
		.number = VFIO_IOMMU_GET_INFO, .fill = fill_nothing, .capabilities = true,
		.size = offsetofend(struct vfio_iommu_type1_info, iova_pgsizes),
	},
};

static int fill_map(struct objects *o, void *arg)
{
	struct vfio_iommu_type1_dma_map *map = arg;

	map->flags = T1_RW;
	map->vaddr = (unsigned long)o->ram;
	map->iova = IOVA;
	map->size = T1_PAGE;
	return o->c.fd;
}

static void undo_map(struct objects *o)
{
	t1_unmap(&o->c, IOVA, T1_PAGE);
}

FIXTURE_VARIANT_ADD(size, iommu_map_dma) {
	.r = {
		.number = VFIO_IOMMU_MAP_DMA, .fill = fill_map, .undo = undo_map,
		.size = offsetofend(struct vfio_iommu_type1_dma_map, size),
	},
};

static int fill_unmap(struct objects *o, void *arg)
{
	struct vfio_iommu_type1_dma_unmap *unmap = arg;

	unmap->iova = IOVA;
	unmap->size = T1_PAGE;
	return o->c.fd;
}

FIXTURE_VARIANT_ADD(size, iommu_unmap_dma) {
	.r = {
		.number = VFIO_IOMMU_UNMAP_DMA, .fill = fill_unmap,
		.size = offsetofend(struct vfio_iommu_type1_dma_unmap, size),
	},
};

static int fill_dirty_pages(struct objects *o, void *arg)
{
	struct vfio_iommu_type1_dirty_bitmap *dirty = arg;

	dirty->flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
	return o->c.fd;
}

static void undo_dirty_pages(struct objects *o)
{
	T1_ASSERT_OK(__t1_dirty_pages(&o->c, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, 0, 0, NULL));
}

FIXTURE_VARIANT_ADD(size, iommu_dirty_pages) {
	.r = {
		.number = VFIO_IOMMU_DIRTY_PAGES,
		.fill = fill_dirty_pages, .undo = undo_dirty_pages,
		.size = offsetofend(struct vfio_iommu_type1_dirty_bitmap, flags),
	},
};

static int fill_space(struct objects *o, void *arg)
{
	struct vfio_iommu_type1_space_create *create = arg;

	create->device = -1;
	return o->c.fd;
}

FIXTURE_VARIANT_ADD(size, iommu_space_create) {
	.r = {
		.number = VFIO_IOMMU_SPACE_CREATE, .fill = fill_space, .file = true,
		.size = sizeof(struct vfio_iommu_type1_space_create),
	},
};

static int fill_pasid(struct objects *o, void *arg)
{
	struct vfio_iommu_type1_pasid_request *req = arg;

	req->flags = VFIO_IOMMU_PASID_REQUEST_ALLOC;
	req->min = 9;
	req->max = 9;
	return o->c.fd;
}

static void undo_pasid(struct objects *o)
{
	T1_ASSERT(__t1_pasid_free(&o->c, 9, 9) == 1);
}

FIXTURE_VARIANT_ADD(size, iommu_pasid_request) {
	.r = {
		.number = VFIO_IOMMU_PASID_REQUEST, .fill = fill_pasid, .undo = undo_pasid,
		.size = sizeof(struct vfio_iommu_type1_pasid_request),
	},
};

static int fill_group(struct objects *o, void *arg)
{
	return o->dev.group->fd;
}

FIXTURE_VARIANT_ADD(size, group_get_status) {
	.r = {
		.number = VFIO_GROUP_GET_STATUS, .fill = fill_group,
		.size = sizeof(struct vfio_group_status),
	},
};

static int fill_device(struct objects *o, void *arg)
{
	return o->dev.fd;
}

FIXTURE_VARIANT_ADD(size, device_get_info) {
	.r = {
		.number = VFIO_DEVICE_GET_INFO, .fill = fill_device, .capabilities = true,
		.size = offsetofend(struct vfio_device_info, num_irqs),
	},
};

FIXTURE_VARIANT_ADD(size, device_get_region_info) {
	.r = {
		.number = VFIO_DEVICE_GET_REGION_INFO, .fill = fill_device, .capabilities = true,
		.size = sizeof(struct vfio_region_info),
	},
};

FIXTURE_VARIANT_ADD(size, device_get_irq_info) {
	.r = {
		.number = VFIO_DEVICE_GET_IRQ_INFO, .fill = fill_device,
		.size = sizeof(struct vfio_irq_info),
	},
};

static void fill_irq(struct vfio_irq_set *set, int event)
{
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_REQ_IRQ_INDEX;
	set->start = 0;
	set->count = 1;
	*(int *)set->data = event;
}

static int fill_set_irqs(struct objects *o, void *arg)
{
	fill_irq(arg, o->event);
	return o->dev.fd;
}

static void undo_set_irqs(struct objects *o)
{
	char arg[sizeof(struct vfio_irq_set) + sizeof(int)];
	struct vfio_irq_set *set = (void *)arg;

	set->argsz = sizeof(arg);
	fill_irq(set, -1);
	T1_ASSERT(!ioctl(o->dev.fd, VFIO_DEVICE_SET_IRQS, set));
}

FIXTURE_VARIANT_ADD(size, device_set_irqs) {
	.r = {
		.number = VFIO_DEVICE_SET_IRQS, .fill = fill_set_irqs, .undo = undo_set_irqs,
		.size = sizeof(struct vfio_irq_set) + sizeof(int),
	},
};

static int fill_ioeventfd(struct objects *o, void *arg)
{
	struct vfio_device_ioeventfd *req = arg;

	req->flags = VFIO_DEVICE_IOEVENTFD_32;
	req->offset = t1_bar_offset(&o->dev, 2, 0x80);
	req->fd = o->event;
	return o->dev.fd;
}

static void undo_ioeventfd(struct objects *o)
{
	struct vfio_device_ioeventfd req = { .argsz = sizeof(req) };

	fill_ioeventfd(o, &req);
	req.fd = -1;
	T1_ASSERT(!ioctl(o->dev.fd, VFIO_DEVICE_IOEVENTFD, &req));
}

FIXTURE_VARIANT_ADD(size, device_ioeventfd) {
	.r = {
		.number = VFIO_DEVICE_IOEVENTFD, .fill = fill_ioeventfd, .undo = undo_ioeventfd,
		.size = offsetofend(struct vfio_device_ioeventfd, fd),
	},
};

static int fill_feature(struct objects *o, void *arg)
{
	struct vfio_device_feature *feature = arg;

	feature->flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY;
	return o->dev.fd;
}

static void undo_feature(struct objects *o)
{
	T1_ASSERT_OK(__t1_feature(&o->dev, VFIO_DEVICE_FEATURE_SET |
				  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT));
}

FIXTURE_VARIANT_ADD(size, feature_low_power_entry) {
	.r = {
		.number = VFIO_DEVICE_FEATURE, .fill = fill_feature, .undo = undo_feature,
		.size = sizeof(struct vfio_device_feature),
	},
};

static int fill_wakeup(struct objects *o, void *arg)
{
	struct vfio_device_feature *feature = arg;
	struct vfio_device_low_power_entry_with_wakeup *entry = (void *)feature->data;

	feature->flags = VFIO_DEVICE_FEATURE_SET |
			 VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP;
	entry->wakeup_eventfd = o->event;
	return o->dev.fd;
}

FIXTURE_VARIANT_ADD(size, feature_low_power_entry_with_wakeup) {
	.r = {
		.number = VFIO_DEVICE_FEATURE, .fill = fill_wakeup, .undo = undo_feature,
		.size = sizeof(struct vfio_device_feature) +
			sizeof(struct vfio_device_low_power_entry_with_wakeup),
	},
};

static int fill_pasid_get(struct objects *o, void *arg)
{
	struct vfio_device_feature *feature = arg;

	feature->flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_PASID;
	return o->vtest.fd;
}

FIXTURE_VARIANT_ADD(size, feature_pasid) {
	.r = {
		.number = VFIO_DEVICE_FEATURE, .fill = fill_pasid_get, .size = T1_PASID_ARGSZ,
	},
};

FIXTURE_SETUP(size)
{
	const char *name = t1_vtest_find(0);

	if (!name)
		T1_SKIP("%s", T1_VTEST_HINT);
	self->o.r = &variant->r;
	t1_container_open(&self->o.c);
	t1_device_open(&self->o.edu, &self->o.c, t1_require(T1_EDU, 0));
	t1_device_open(&self->o.dev, &self->o.c, t1_require(T1_IVSHMEM, 0));
	t1_vtest_open(&self->o.vtest, &self->o.c, name);
	t1_set_command(&self->o.dev, PCI_COMMAND_MEMORY, true);
	self->o.event = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, self->o.event);
	self->o.ram = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->o.ram);
	self->o.page = mmap(NULL, 2 * T1_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->o.page);
	ASSERT_EQ(0, mprotect(self->o.page + T1_PAGE, T1_PAGE, PROT_NONE));
}

FIXTURE_TEARDOWN(size)
{
	munmap(self->o.page, 2 * T1_PAGE);
	munmap(self->o.ram, T1_PAGE);
	close(self->o.event);
	t1_vtest_close(&self->o.vtest);
	t1_device_close(&self->o.dev);
	t1_device_close(&self->o.edu);
	t1_container_close(&self->o.c);
}

/* The call with @argsz and @size bytes that end with the page */
static int call(struct objects *o, __u32 argsz, __u32 size)
{
	const struct request *r = o->r;
	char *arg = o->page + T1_PAGE - size, whole[256] = "";
	int fd = r->fill(o, whole);

	memcpy(whole, &argsz, sizeof(argsz));
	memcpy(arg, whole, r->size < size ? r->size : size);
	fd = ioctl(fd, r->number, arg);
	if (fd < 0)
		return -errno;
	if (!r->file)
		return fd;
	close(fd);
	return 0;
}

static void undo(struct objects *o)
{
	if (o->r->undo)
		o->r->undo(o);
}

TEST_F(size, too_small)
{
	__u32 argsz, size = variant->r.size;

	for (argsz = 0; argsz < size; argsz++)
		EXPECT_EQ(-EINVAL, call(&self->o, argsz, size));
	/* Nothing was done: what would be refused a second time is not. */
	EXPECT_EQ(0, call(&self->o, size, size));
	undo(&self->o);
}

/* Not a byte behind it is read or written. */
TEST_F(size, exact)
{
	__u32 size = variant->r.size;

	EXPECT_EQ(0, call(&self->o, size, size));
	undo(&self->o);
	EXPECT_EQ(-EFAULT, call(&self->o, size, size - 1));
}

static void larger(struct __test_metadata *_metadata, struct objects *o, char rest)
{
	char *behind = o->page + T1_PAGE - MORE;
	__u32 size = o->r->size + MORE;
	int i;

	memset(behind, rest, MORE);
	EXPECT_EQ(0, call(o, size, size));
	undo(o);
	for (i = 0; i < MORE && !o->r->capabilities; i++)
		EXPECT_EQ(rest, behind[i]);
}

TEST_F(size, larger_with_zeros)
{
	larger(_metadata, &self->o, 0);
}

TEST_F(size, larger_with_garbage)
{
	larger(_metadata, &self->o, (char)REST);
}

TEST_HARNESS_MAIN
