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

#define IOVA	0x2000000UL
#define MORE	64	/* bytes behind the structure */
#define REST	0xa5

#define offsetofend(type, member) \
	(offsetof(type, member) + sizeof(((type *)0)->member))

FIXTURE(size) {
	struct t1_container c;
	struct t1_device edu, dev;
	struct t1_vtest vtest;
	int event;
	bool allowed;	/* vtest may use a PASID */
	char *ram;
	/* Two pages, of which the second one cannot be accessed */
	char *page;
};

FIXTURE_VARIANT(size) {
	unsigned int request;
	__u32 size;
	/* Fill in all but argsz; returns the file. */
	int (*fill)(FIXTURE_DATA(size) *self, void *arg);
	/* Back to before, after a call that did something */
	void (*undo)(FIXTURE_DATA(size) *self);
	/* Does the answer go on behind the structure, where argsz has room? */
	bool capabilities;
};

static int fill_nothing(FIXTURE_DATA(size) *self, void *arg)
{
	return self->c.fd;
}

FIXTURE_VARIANT_ADD(size, iommu_get_info) {
	.request = VFIO_IOMMU_GET_INFO, .fill = fill_nothing, .capabilities = true,
	.size = offsetofend(struct vfio_iommu_type1_info, iova_pgsizes),
};

static int fill_map(FIXTURE_DATA(size) *self, void *arg)
{
	struct vfio_iommu_type1_dma_map *map = arg;

	map->flags = T1_RW;
	map->vaddr = (unsigned long)self->ram;
	map->iova = IOVA;
	map->size = T1_PAGE;
	return self->c.fd;
}

static void undo_map(FIXTURE_DATA(size) *self)
{
	t1_unmap(&self->c, IOVA, T1_PAGE);
}

FIXTURE_VARIANT_ADD(size, iommu_map_dma) {
	.request = VFIO_IOMMU_MAP_DMA, .fill = fill_map, .undo = undo_map,
	.size = offsetofend(struct vfio_iommu_type1_dma_map, size),
};

static int fill_unmap(FIXTURE_DATA(size) *self, void *arg)
{
	struct vfio_iommu_type1_dma_unmap *unmap = arg;

	unmap->iova = IOVA;
	unmap->size = T1_PAGE;
	return self->c.fd;
}

FIXTURE_VARIANT_ADD(size, iommu_unmap_dma) {
	.request = VFIO_IOMMU_UNMAP_DMA, .fill = fill_unmap,
	.size = offsetofend(struct vfio_iommu_type1_dma_unmap, size),
};

static int fill_dirty_pages(FIXTURE_DATA(size) *self, void *arg)
{
	struct vfio_iommu_type1_dirty_bitmap *dirty = arg;

	dirty->flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
	return self->c.fd;
}

static void undo_dirty_pages(FIXTURE_DATA(size) *self)
{
	T1_ASSERT_OK(__t1_dirty_pages(&self->c, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, 0, 0, NULL));
}

FIXTURE_VARIANT_ADD(size, iommu_dirty_pages) {
	.request = VFIO_IOMMU_DIRTY_PAGES, .fill = fill_dirty_pages, .undo = undo_dirty_pages,
	.size = offsetofend(struct vfio_iommu_type1_dirty_bitmap, flags),
};

static int fill_pasid(FIXTURE_DATA(size) *self, void *arg)
{
	struct vfio_iommu_type1_pasid_request *req = arg;

	req->flags = VFIO_IOMMU_PASID_REQUEST_ALLOC;
	req->min = 9;
	req->max = 9;
	return self->c.fd;
}

static void undo_pasid(FIXTURE_DATA(size) *self)
{
	T1_ASSERT(__t1_pasid_free(&self->c, 9, 9) == 1);
}

FIXTURE_VARIANT_ADD(size, iommu_pasid_request) {
	.request = VFIO_IOMMU_PASID_REQUEST, .fill = fill_pasid, .undo = undo_pasid,
	.size = sizeof(struct vfio_iommu_type1_pasid_request),
};

static int fill_group(FIXTURE_DATA(size) *self, void *arg)
{
	return self->dev.group->fd;
}

FIXTURE_VARIANT_ADD(size, group_get_status) {
	.request = VFIO_GROUP_GET_STATUS, .fill = fill_group,
	.size = sizeof(struct vfio_group_status),
};

static int fill_device(FIXTURE_DATA(size) *self, void *arg)
{
	return self->dev.fd;
}

FIXTURE_VARIANT_ADD(size, device_get_info) {
	.request = VFIO_DEVICE_GET_INFO, .fill = fill_device, .capabilities = true,
	.size = offsetofend(struct vfio_device_info, num_irqs),
};

FIXTURE_VARIANT_ADD(size, device_get_region_info) {
	.request = VFIO_DEVICE_GET_REGION_INFO, .fill = fill_device, .capabilities = true,
	.size = sizeof(struct vfio_region_info),
};

FIXTURE_VARIANT_ADD(size, device_get_irq_info) {
	.request = VFIO_DEVICE_GET_IRQ_INFO, .fill = fill_device,
	.size = sizeof(struct vfio_irq_info),
};

static void fill_irq(struct vfio_irq_set *set, int event)
{
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_REQ_IRQ_INDEX;
	set->start = 0;
	set->count = 1;
	*(int *)set->data = event;
}

static int fill_set_irqs(FIXTURE_DATA(size) *self, void *arg)
{
	fill_irq(arg, self->event);
	return self->dev.fd;
}

static void undo_set_irqs(FIXTURE_DATA(size) *self)
{
	char arg[sizeof(struct vfio_irq_set) + sizeof(int)];
	struct vfio_irq_set *set = (void *)arg;

	set->argsz = sizeof(arg);
	fill_irq(set, -1);
	T1_ASSERT(!ioctl(self->dev.fd, VFIO_DEVICE_SET_IRQS, set));
}

FIXTURE_VARIANT_ADD(size, device_set_irqs) {
	.request = VFIO_DEVICE_SET_IRQS, .fill = fill_set_irqs, .undo = undo_set_irqs,
	.size = sizeof(struct vfio_irq_set) + sizeof(int),
};

static int fill_ioeventfd(FIXTURE_DATA(size) *self, void *arg)
{
	struct vfio_device_ioeventfd *req = arg;

	req->flags = VFIO_DEVICE_IOEVENTFD_32;
	req->offset = t1_bar_offset(&self->dev, 2, 0x80);
	req->fd = self->event;
	return self->dev.fd;
}

static void undo_ioeventfd(FIXTURE_DATA(size) *self)
{
	struct vfio_device_ioeventfd req = { .argsz = sizeof(req) };

	fill_ioeventfd(self, &req);
	req.fd = -1;
	T1_ASSERT(!ioctl(self->dev.fd, VFIO_DEVICE_IOEVENTFD, &req));
}

FIXTURE_VARIANT_ADD(size, device_ioeventfd) {
	.request = VFIO_DEVICE_IOEVENTFD, .fill = fill_ioeventfd, .undo = undo_ioeventfd,
	.size = offsetofend(struct vfio_device_ioeventfd, fd),
};

static int fill_feature(FIXTURE_DATA(size) *self, void *arg)
{
	struct vfio_device_feature *feature = arg;

	feature->flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY;
	return self->dev.fd;
}

static void undo_feature(FIXTURE_DATA(size) *self)
{
	T1_ASSERT_OK(__t1_feature(&self->dev, VFIO_DEVICE_FEATURE_SET |
				  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT));
}

FIXTURE_VARIANT_ADD(size, feature_low_power_entry) {
	.request = VFIO_DEVICE_FEATURE, .fill = fill_feature, .undo = undo_feature,
	.size = sizeof(struct vfio_device_feature),
};

static int fill_wakeup(FIXTURE_DATA(size) *self, void *arg)
{
	struct vfio_device_feature *feature = arg;
	struct vfio_device_low_power_entry_with_wakeup *entry = (void *)feature->data;

	feature->flags = VFIO_DEVICE_FEATURE_SET |
			 VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP;
	entry->wakeup_eventfd = self->event;
	return self->dev.fd;
}

FIXTURE_VARIANT_ADD(size, feature_low_power_entry_with_wakeup) {
	.request = VFIO_DEVICE_FEATURE, .fill = fill_wakeup, .undo = undo_feature,
	.size = sizeof(struct vfio_device_feature) +
		sizeof(struct vfio_device_low_power_entry_with_wakeup),
};

static int fill_pasid_get(FIXTURE_DATA(size) *self, void *arg)
{
	struct vfio_device_feature *feature = arg;

	/* There is nothing to get before the device may use one. */
	if (!self->allowed) {
		t1_pasid_alloc(&self->c, 10, 10);
		t1_pasid_allow(&self->vtest, 10, IOVA, T1_PAGE);
		self->allowed = true;
	}
	feature->flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_PASID;
	return self->vtest.fd;
}

FIXTURE_VARIANT_ADD(size, feature_pasid) {
	.request = VFIO_DEVICE_FEATURE, .fill = fill_pasid_get, .size = T1_PASID_ARGSZ,
};

FIXTURE_SETUP(size)
{
	const char *name = t1_vtest_find(0);

	if (!name)
		T1_SKIP("%s", T1_VTEST_HINT);
	t1_container_open(&self->c);
	t1_device_open(&self->edu, &self->c, t1_require(T1_EDU, 0));
	t1_device_open(&self->dev, &self->c, t1_require(T1_IVSHMEM, 0));
	t1_vtest_open(&self->vtest, &self->c, name);
	t1_set_command(&self->dev, PCI_COMMAND_MEMORY, true);
	self->event = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, self->event);
	self->ram = mmap(NULL, T1_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->ram);
	self->page = mmap(NULL, 2 * T1_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	ASSERT_EQ(0, mprotect(self->page + T1_PAGE, T1_PAGE, PROT_NONE));
}

FIXTURE_TEARDOWN(size)
{
	munmap(self->page, 2 * T1_PAGE);
	munmap(self->ram, T1_PAGE);
	close(self->event);
	t1_vtest_close(&self->vtest);
	t1_device_close(&self->dev);
	t1_device_close(&self->edu);
	t1_container_close(&self->c);
}

/* The call with @argsz and @size bytes that end with the page */
static int call(FIXTURE_DATA(size) *self, const FIXTURE_VARIANT(size) *variant,
		__u32 argsz, __u32 size)
{
	char *arg = self->page + T1_PAGE - size, whole[256] = "";
	int fd = variant->fill(self, whole);

	memcpy(whole, &argsz, sizeof(argsz));
	memcpy(arg, whole, variant->size < size ? variant->size : size);
	return ioctl(fd, variant->request, arg) ? -errno : 0;
}

static void undo(FIXTURE_DATA(size) *self, const FIXTURE_VARIANT(size) *variant)
{
	if (variant->undo)
		variant->undo(self);
}

TEST_F(size, too_small)
{
	__u32 argsz;

	for (argsz = 0; argsz < variant->size; argsz++)
		EXPECT_EQ(-EINVAL, call(self, variant, argsz, variant->size));
	/* Nothing was done: what would be refused a second time is not. */
	EXPECT_EQ(0, call(self, variant, variant->size, variant->size));
	undo(self, variant);
}

/* Not a byte behind it is read or written. */
TEST_F(size, exact)
{
	EXPECT_EQ(0, call(self, variant, variant->size, variant->size));
	undo(self, variant);
	EXPECT_EQ(-EFAULT, call(self, variant, variant->size, variant->size - 1));
}

static void larger(struct __test_metadata *_metadata, FIXTURE_DATA(size) *self,
		   const FIXTURE_VARIANT(size) *variant, char rest)
{
	char *behind = self->page + T1_PAGE - MORE;
	int i;

	memset(behind, rest, MORE);
	EXPECT_EQ(0, call(self, variant, variant->size + MORE, variant->size + MORE));
	undo(self, variant);
	for (i = 0; i < MORE && !variant->capabilities; i++)
		EXPECT_EQ(rest, behind[i]);
}

TEST_F(size, larger_with_zeros)
{
	larger(_metadata, self, variant, 0);
}

TEST_F(size, larger_with_garbage)
{
	larger(_metadata, self, variant, (char)REST);
}

TEST_HARNESS_MAIN
