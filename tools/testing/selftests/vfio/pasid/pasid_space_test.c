// SPDX-License-Identifier: GPL-2.0-only
/*
 * Address spaces beside a container's own: what is mapped in one is seen under the
 * PASIDs that are attached to it, and nowhere else; and how spaces end. The devices
 * are those of the vfio_test module.
 *
 * Fails on stock 6.1, which has no such spaces.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"
#include "../lib/type1_stall.h"
#include "../lib/type1_vtest.h"

#define IOVA		0x1000000UL
#define MSI		0xfee00000UL	/* no IOMMU of x86 maps memory there */
#define SIZE		(4 * T1_PAGE)
#define PARAMETER	"/sys/module/vfio/parameters/spaces_per_group"

/* A container with a device, and memory for three spaces */
FIXTURE(space) {
	struct t1_container c, a, b;
	struct t1_vtest dev;
	const char *name;
	__u32 *mem, *ram, *ram_a, *ram_b;
	unsigned int avail;
};

static __u32 *get_ram(__u32 value)
{
	__u32 *ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	T1_ASSERT(ram != MAP_FAILED);
	*ram = value;
	return ram;
}

FIXTURE_SETUP(space)
{
	self->name = t1_vtest_find(0);
	if (!self->name || !t1_vtest_find(1))
		T1_SKIP("%s", T1_VTEST_HINT);
	t1_container_open(&self->c);
	t1_vtest_open(&self->dev, &self->c, self->name);
	self->mem = t1_vtest_mmap(&self->dev, T1_PAGE);
	self->avail = t1_dma_avail(&self->c);
	t1_space_create(&self->c, &self->a);
	t1_space_create(&self->c, &self->b);
	self->ram = get_ram(10);
	self->ram_a = get_ram(11);
	self->ram_b = get_ram(12);
	t1_pasid_alloc(&self->c, 5, 5);
	t1_pasid_alloc(&self->c, 6, 6);
}

/* Whatever was left: all mappings and all spaces are back. */
FIXTURE_TEARDOWN(space)
{
	munmap(self->mem, T1_PAGE);
	close(self->a.fd);
	close(self->b.fd);
	if (self->dev.fd >= 0) {
		__t1_pasid_free(&self->c, 1, 20);
		EXPECT_EQ(0, t1_pasid_next(&self->dev, 0));
		EXPECT_EQ(0, t1_told(&self->c, "vfio-spaces"));
		__t1_unmap_all(&self->c, NULL);
		EXPECT_EQ(self->avail, t1_dma_avail(&self->c));
		t1_vtest_close(&self->dev);
	}
	t1_container_close(&self->c);
	munmap(self->ram, SIZE);
	munmap(self->ram_a, SIZE);
	munmap(self->ram_b, SIZE);
	EXPECT_EQ(0, t1_locked_kib());
}

/* The first word that the device reads under a PASID; -1: there is no memory */
static int peek(struct t1_vtest *dev, __u32 *mem, __u32 pasid)
{
	int status = t1_job(dev, pasid, VFIO_TEST_READ, IOVA, 4);

	T1_ASSERT(status == VFIO_TEST_DONE || status == VFIO_TEST_NO_MEMORY);
	return status == VFIO_TEST_DONE ? (int)*mem : -1;
}

#define see(pasid) peek(&self->dev, self->mem, pasid)

/* Two PASIDs in two spaces see neither each other's memory nor the container's. */
TEST_F(space, separate)
{
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	t1_pasid_attach(&self->dev, 6, self->b.fd);
	t1_map(&self->c, self->ram, IOVA, SIZE, T1_RW);
	EXPECT_EQ(10, see(0));
	EXPECT_EQ(-1, see(5));
	EXPECT_EQ(-1, see(6));
	t1_map(&self->a, self->ram_a, IOVA, SIZE, T1_RW);
	EXPECT_EQ(10, see(0));
	EXPECT_EQ(11, see(5));
	EXPECT_EQ(-1, see(6));
	t1_map(&self->b, self->ram_b, IOVA, SIZE, T1_RW);
	t1_unmap(&self->c, IOVA, SIZE);
	EXPECT_EQ(-1, see(0));
	EXPECT_EQ(11, see(5));
	EXPECT_EQ(12, see(6));

	/* Writes go where reads come from. */
	*self->mem = 77;
	EXPECT_EQ(VFIO_TEST_DONE, t1_job(&self->dev, 6, VFIO_TEST_WRITE, IOVA, 4));
	EXPECT_EQ(77, *self->ram_b);
	EXPECT_EQ(11, *self->ram_a);
	EXPECT_EQ(10, *self->ram);
}

/* A PASID moves, and is in one space at a time. */
TEST_F(space, move)
{
	t1_map(&self->a, self->ram_a, IOVA, SIZE, T1_RW);
	t1_map(&self->b, self->ram_b, IOVA, SIZE, T1_RW);
	t1_map(&self->c, self->ram, IOVA, SIZE, T1_RW);
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	EXPECT_EQ(11, see(5));
	EXPECT_EQ(-EBUSY, __t1_pasid_attach(&self->dev, 5, self->b.fd));
	EXPECT_EQ(-EBUSY, __t1_pasid_attach(&self->dev, 5, self->a.fd));
	EXPECT_EQ(11, see(5));
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));
	t1_pasid_attach(&self->dev, 5, self->b.fd);
	EXPECT_EQ(12, see(5));
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));
	t1_pasid_attach(&self->dev, 5, -1);
	EXPECT_EQ(10, see(5));
}

/* One space for two devices, under different PASIDs, and for two of one device */
TEST_F(space, shared)
{
	struct t1_vtest other;
	__u32 *mem;

	t1_vtest_open(&other, &self->c, t1_vtest_find(1));
	mem = t1_vtest_mmap(&other, T1_PAGE);
	t1_map(&self->a, self->ram_a, IOVA, SIZE, T1_RW);
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	t1_pasid_attach(&self->dev, 6, self->a.fd);
	t1_pasid_attach(&other, 6, self->a.fd);
	EXPECT_EQ(3, t1_told(&self->a, "vfio-pasids-attached"));
	EXPECT_EQ(11, see(5));
	EXPECT_EQ(11, see(6));
	EXPECT_EQ(11, peek(&other, mem, 6));
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 6));
	EXPECT_EQ(11, see(5));
	EXPECT_EQ(11, peek(&other, mem, 6));
	EXPECT_EQ(VFIO_TEST_NO_PASID, t1_job(&self->dev, 6, VFIO_TEST_READ, IOVA, 4));
	munmap(mem, T1_PAGE);
	t1_vtest_close(&other);
	EXPECT_EQ(1, t1_told(&self->a, "vfio-pasids-attached"));
}

/* The file is closed on exec; what is attached stays attached without it. */
TEST_F(space, file)
{
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->a.fd, F_GETFD));
	t1_map(&self->a, self->ram_a, IOVA, SIZE, T1_RW);
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	close(self->a.fd);
	EXPECT_EQ(11, see(5));
	EXPECT_EQ(2, t1_told(&self->c, "vfio-spaces"));
	EXPECT_EQ(self->avail - 1, t1_dma_avail(&self->c));
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));
	EXPECT_EQ(1, t1_told(&self->c, "vfio-spaces"));
	EXPECT_EQ(self->avail, t1_dma_avail(&self->c));

	/* Without a PASID, the file is all that keeps it. */
	t1_map(&self->b, self->ram_b, IOVA, SIZE, T1_RW);
	EXPECT_EQ(self->avail - 1, t1_dma_avail(&self->b));
	close(self->b.fd);
	EXPECT_EQ(self->avail, t1_dma_avail(&self->c));
	self->a.fd = -1;
	self->b.fd = -1;
}

static int create(struct t1_container *c, __u32 argsz, __u32 flags, __s32 device, __u32 reserved)
{
	struct vfio_iommu_type1_space_create arg = {
		.argsz = argsz, .flags = flags, .device = device, .__reserved = reserved,
	};
	int fd = ioctl(c->fd, VFIO_IOMMU_SPACE_CREATE, &arg);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

TEST_F(space, bad_create)
{
	const __u32 argsz = sizeof(struct vfio_iommu_type1_space_create);
	struct t1_container *c = &self->c, none;

	t1_container_open(&none);
	EXPECT_EQ(-1, ioctl(none.fd, VFIO_IOMMU_SPACE_CREATE, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-EINVAL, create(&none, argsz - 1, 0, -1, 0));
	EXPECT_EQ(-EINVAL, create(&none, argsz, 1, -1, 0));
	EXPECT_EQ(-EINVAL, create(&none, argsz, 1U << 31, -1, 0));
	EXPECT_EQ(-EINVAL, create(&none, argsz, 0, -1, 1));
	EXPECT_EQ(-EINVAL, create(&none, argsz, 0, 0, 0));
	EXPECT_EQ(-EINVAL, create(c, argsz, 0, self->dev.fd, 0));
	EXPECT_EQ(-EINVAL, create(c, argsz, 0, -2, 0));
	EXPECT_EQ(-ENODEV, create(&none, argsz, 0, -1, 0));
	EXPECT_EQ(0, create(c, argsz, 0, -1, 0));
	EXPECT_EQ(0, create(c, argsz + 100, 0, -1, 0));
	EXPECT_EQ(-1, ioctl(self->a.fd, VFIO_IOMMU_SPACE_CREATE, NULL));
	EXPECT_EQ(ENOTTY, errno);
	t1_container_close(&none);
}

/* A group without VFIO_SET_IOMMU, and with the first version of type1 */
TEST_F(space, other_types)
{
	const __u32 argsz = sizeof(struct vfio_iommu_type1_space_create);
	struct t1_container c;
	char path[32];
	int group;

	snprintf(path, sizeof(path), "/dev/vfio/%d", t1_vtest_group(t1_vtest_find(1)));
	group = open(path, O_RDWR);
	ASSERT_LE(0, group);
	t1_container_open(&c);
	ASSERT_EQ(0, ioctl(group, VFIO_GROUP_SET_CONTAINER, &c.fd));
	EXPECT_EQ(-ENODEV, create(&c, argsz, 0, -1, 0));
	ASSERT_EQ(0, ioctl(c.fd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(-EINVAL, create(&c, argsz, 0, -1, 0));
	EXPECT_EQ(0, t1_told(&c, "vfio-spaces"));
	close(group);
	t1_container_close(&c);
}

/* So many for each group, and those whose file is closed count while they are in use */
TEST_F(space, limit)
{
	struct t1_container s[16], more;
	struct t1_vtest other;
	char before[16];
	int i;

	t1_read_file(PARAMETER, before, sizeof(before));
	EXPECT_EQ(32, atoi(before));
	if (__t1_write_file(PARAMETER, "8"))
		SKIP(return, "only root can change the limit");
	for (i = 2; i < 8; i++)
		t1_space_create(&self->c, &s[i]);
	EXPECT_EQ(-ENOSPC, __t1_space_create(&self->c, &more));
	t1_pasid_attach(&self->dev, 5, s[2].fd);
	close(s[2].fd);
	EXPECT_EQ(-ENOSPC, __t1_space_create(&self->c, &more));
	close(s[3].fd);
	t1_space_create(&self->c, &s[3]);
	EXPECT_EQ(-ENOSPC, __t1_space_create(&self->c, &more));
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));
	t1_space_create(&self->c, &s[2]);

	t1_vtest_open(&other, &self->c, t1_vtest_find(1));
	for (i = 8; i < 16; i++)
		t1_space_create(&self->c, &s[i]);
	EXPECT_EQ(-ENOSPC, __t1_space_create(&self->c, &more));
	t1_vtest_close(&other);
	close(s[15].fd);
	EXPECT_EQ(-ENOSPC, __t1_space_create(&self->c, &more));
	for (i = 2; i < 15; i++)
		close(s[i].fd);
	t1_write_file(PARAMETER, before);
}

/* The limit for mappings is the container's, whoever of them has used it up. */
TEST_F(space, mappings)
{
	unsigned int i, n = self->avail < 1000 ? self->avail : 1000;

	for (i = 0; i < n; i++)
		t1_map(i % 2 ? &self->a : &self->b, self->ram, IOVA + i * T1_PAGE, T1_PAGE, T1_RW);
	EXPECT_EQ(self->avail - n, t1_dma_avail(&self->c));
	EXPECT_EQ(self->avail - n, t1_dma_avail(&self->a));
	EXPECT_EQ(self->avail - n, t1_told(&self->b, "vfio-dma-avail"));
	EXPECT_EQ(0, __t1_unmap_all(&self->a, NULL));
	EXPECT_EQ(self->avail - n / 2, t1_dma_avail(&self->c));
}

/* Its information is that of a container with such devices only, without PASIDs. */
TEST_F(space, info)
{
	char buf[4096];

	EXPECT_NE(NULL, t1_info_cap(&self->c, VFIO_IOMMU_TYPE1_INFO_CAP_PASID, buf, sizeof(buf)));
	EXPECT_EQ(NULL, t1_info_cap(&self->a, VFIO_IOMMU_TYPE1_INFO_CAP_PASID, buf, sizeof(buf)));
	EXPECT_EQ(NULL, t1_info_cap(&self->a, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, buf,
				    sizeof(buf)));
	EXPECT_NE(NULL, t1_info_cap(&self->a, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, buf,
				    sizeof(buf)));
	EXPECT_EQ(-1, ioctl(self->a.fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-ENOTTY, __t1_pasid_alloc(&self->a, 7, 7));
	EXPECT_EQ(-1, t1_told(&self->a, "vfio-pasids"));
	EXPECT_EQ(2, t1_told(&self->c, "vfio-spaces"));
}

/* All errors of a mapping are there, and where the container has something is free. */
TEST_F(space, map_errors)
{
	t1_map(&self->c, self->ram, IOVA, SIZE, T1_RW);
	t1_map(&self->a, self->ram, IOVA, SIZE, T1_RW);
	EXPECT_EQ(-EEXIST, __t1_map(&self->a, self->ram, IOVA + T1_PAGE, T1_PAGE, T1_RW));
	EXPECT_EQ(-EINVAL, __t1_map(&self->a, self->ram, IOVA + SIZE + 1, T1_PAGE, T1_RW));
	EXPECT_EQ(-EINVAL, __t1_unmap(&self->a, IOVA, T1_PAGE, NULL));
	t1_map(&self->b, self->ram, -2 * T1_PAGE, T1_PAGE, T1_RW);
	EXPECT_EQ(0, __t1_unmap(&self->a, IOVA, SIZE, NULL));
}

/* Is this page of the space dirty? The bits of all are cleared. */
static bool dirty(struct t1_container *space, unsigned int page)
{
	__u64 bitmap = 0;

	T1_ASSERT_OK(__t1_dirty_pages(space, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, IOVA, SIZE,
				      &bitmap));
	T1_ASSERT(!(bitmap & ~(1ULL << page)));
	return bitmap;
}

/* What is written under a PASID is dirty in its space, and nowhere else. */
TEST_F(space, dirty)
{
	struct t1_container *spaces[] = { &self->c, &self->a, &self->b };
	__u64 bitmap = 0;
	int i;

	for (i = 0; i < 3; i++) {
		t1_map(spaces[i], self->ram, IOVA, SIZE, T1_RW);
		ASSERT_EQ(0, __t1_dirty_pages(spaces[i], VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, 0,
					      NULL));
	}
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	EXPECT_EQ(VFIO_TEST_DONE, t1_job(&self->dev, 5, VFIO_TEST_WRITE, IOVA + 2 * T1_PAGE, 4));
	EXPECT_FALSE(dirty(&self->c, 2));
	EXPECT_FALSE(dirty(&self->b, 2));
	EXPECT_TRUE(dirty(&self->a, 2));
	EXPECT_FALSE(dirty(&self->a, 2));

	/* The bits outlive the PASID, and come with the unmap. */
	EXPECT_EQ(VFIO_TEST_DONE, t1_job(&self->dev, 5, VFIO_TEST_WRITE, IOVA + T1_PAGE, 4));
	EXPECT_EQ(VFIO_TEST_DONE, t1_job(&self->dev, 5, VFIO_TEST_READ, IOVA, 4));
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));
	EXPECT_EQ(0, __t1_unmap_dirty(&self->a, IOVA, SIZE, T1_PAGE, &bitmap, NULL));
	EXPECT_EQ(2, bitmap);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, __t1_dirty_pages(spaces[i], VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, 0, 0,
					      NULL));
}

static int invalidate(struct t1_container *space)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = VFIO_DMA_UNMAP_FLAG_VADDR,
		.iova = IOVA, .size = SIZE,
	};

	return ioctl(space->fd, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -errno : 0;
}

/* New addresses, while no device can look; each space for itself */
TEST_F(space, update_vaddr)
{
	t1_map(&self->a, self->ram_a, IOVA, SIZE, T1_RW);
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	EXPECT_EQ(-EBUSY, invalidate(&self->a));
	EXPECT_EQ(11, see(5));
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));

	EXPECT_EQ(0, invalidate(&self->a));
	EXPECT_EQ(-EBUSY, __t1_pasid_attach(&self->dev, 5, self->a.fd));
	t1_pasid_attach(&self->dev, 5, self->b.fd);
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));
	EXPECT_EQ(0, __t1_map(&self->a, self->ram_b, IOVA, SIZE, VFIO_DMA_MAP_FLAG_VADDR));
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	EXPECT_EQ(12, see(5));

	/* A space can end in that state. */
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));
	EXPECT_EQ(0, invalidate(&self->a));
}

/* Only a space of the device's own container, and only while that has a group */
TEST_F(space, other_container)
{
	struct t1_container c, foreign;
	struct t1_vtest other;

	t1_container_open(&c);
	t1_vtest_open(&other, &c, t1_vtest_find(1));
	t1_space_create(&c, &foreign);
	EXPECT_EQ(-EINVAL, __t1_pasid_attach(&self->dev, 5, foreign.fd));
	EXPECT_EQ(-EINVAL, __t1_pasid_attach(&other, 5, self->a.fd));
	EXPECT_EQ(-EINVAL, __t1_pasid_attach(&self->dev, 5, self->c.fd));
	EXPECT_EQ(-EINVAL, __t1_pasid_attach(&self->dev, 5, self->dev.fd));
	EXPECT_EQ(0, t1_pasid_next(&self->dev, 0));

	/* The other container loses its group, and gets it again; the space does not. */
	t1_vtest_close(&other);
	EXPECT_EQ(-ENODEV, __t1_pasid_attach(&self->dev, 5, foreign.fd));
	t1_vtest_open(&other, &c, t1_vtest_find(1));
	EXPECT_EQ(-ENODEV, __t1_pasid_attach(&self->dev, 5, foreign.fd));
	EXPECT_EQ(-ENODEV, __t1_pasid_attach(&other, 5, foreign.fd));
	EXPECT_EQ(-ENODEV, __t1_map(&foreign, self->ram, IOVA, SIZE, T1_RW));
	EXPECT_EQ(0, t1_told(&c, "vfio-spaces"));
	close(foreign.fd);
	t1_vtest_close(&other);
	t1_container_close(&c);
}

/* When the last group leaves, the spaces lose what they have, whatever their files do. */
TEST_F(space, last_group)
{
	unsigned int avail;

	t1_map(&self->c, self->ram, IOVA, SIZE, T1_RW);
	t1_map(&self->a, self->ram_a, IOVA, SIZE, T1_RW);
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	munmap(self->mem, T1_PAGE);
	t1_vtest_close(&self->dev);

	EXPECT_EQ(-ENODEV, __t1_map(&self->a, self->ram_a, IOVA, SIZE, T1_RW));
	EXPECT_EQ(-ENODEV, __t1_unmap(&self->a, IOVA, SIZE, NULL));
	EXPECT_EQ(-ENODEV, __t1_dirty_pages(&self->b, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, 0,
					    NULL));
	EXPECT_EQ(-1, ioctl(self->a.fd, VFIO_IOMMU_GET_INFO, NULL));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, t1_told(&self->a, "vfio-dma-avail"));

	t1_vtest_open(&self->dev, &self->c, self->name);
	self->mem = t1_vtest_mmap(&self->dev, T1_PAGE);
	avail = t1_dma_avail(&self->c);
	EXPECT_EQ(self->avail, avail);
	EXPECT_EQ(0, t1_told(&self->c, "vfio-spaces"));
	close(self->a.fd);
	t1_space_create(&self->c, &self->a);
	t1_pasid_alloc(&self->c, 5, 5);
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	EXPECT_EQ(-1, see(5));
}

/* One of two groups leaves: the spaces stay. */
TEST_F(space, one_group)
{
	struct t1_vtest other;

	t1_vtest_open(&other, &self->c, t1_vtest_find(1));
	t1_map(&self->a, self->ram_a, IOVA, SIZE, T1_RW);
	t1_pasid_attach(&other, 5, self->a.fd);
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	t1_vtest_close(&other);
	EXPECT_EQ(11, see(5));
	EXPECT_EQ(1, t1_told(&self->a, "vfio-pasids-attached"));
}

/* Container, group, device and space, closed in every order */
TEST_F(space, close_order)
{
	struct t1_container c, space;
	struct t1_vtest dev;
	int order, i, left;

	for (order = 0; order < 24; order++) {
		t1_container_open(&c);
		t1_vtest_open(&dev, &c, t1_vtest_find(1));
		t1_space_create(&c, &space);
		t1_map(&space, self->ram, IOVA, SIZE, T1_RW);
		t1_pasid_alloc(&c, 7, 7);
		t1_pasid_attach(&dev, 7, space.fd);

		int fds[] = { c.fd, dev.group->fd, dev.fd, space.fd };

		for (i = 4, left = order; i; left /= i, i--) {
			close(fds[left % i]);
			fds[left % i] = fds[i - 1];
		}
	}
	EXPECT_EQ(7, __t1_pasid_alloc(&self->c, 7, 7));
}

/*
 * A space whose lock is held, by a thread in GET_BITMAP: its file is closed, its PASID
 * detached, its container without groups, and nobody waits for that thread.
 */
TEST_F(space, busy)
{
	struct t1_busy busy;
	int fd;

	t1_map(&self->a, self->ram_a, IOVA, SIZE, T1_RW);
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	if (__t1_busy_begin(&busy, &self->a, IOVA, SIZE))
		SKIP(return, T1_STALL_HINT);
	ASSERT_EQ(0, __t1_job_start(&self->dev, 5, VFIO_TEST_READ, IOVA, 4));
	EXPECT_EQ(VFIO_TEST_RUNNING, t1_job_leaves(&self->dev, VFIO_TEST_QUEUED));
	/* Others go on */
	t1_map(&self->c, self->ram, IOVA, SIZE, T1_RW);
	t1_map(&self->b, self->ram_b, IOVA, SIZE, T1_RW);
	EXPECT_LE(0, t1_told(&self->a, "vfio-dma-avail"));

	munmap(self->mem, T1_PAGE);
	t1_vtest_close(&self->dev);
	EXPECT_EQ(-ENODEV, __t1_map(&self->a, self->ram, 2 * IOVA, SIZE, T1_RW));
	t1_vtest_open(&self->dev, &self->c, self->name);
	self->mem = t1_vtest_mmap(&self->dev, T1_PAGE);
	fd = self->a.fd;
	self->a.fd = open("/dev/null", O_RDWR);
	close(fd);
	t1_busy_end(&busy);
}

/* Each way to end a use while the device waits for a page of the space that never comes */
static void stall_and_end(const char *name, int how)
{
	struct t1_container c, space;
	struct t1_stall stall;
	struct t1_vtest dev;

	T1_ASSERT_OK(__t1_stall_init(&stall));
	t1_container_open(&c);
	t1_vtest_open(&dev, &c, name);
	t1_space_create(&c, &space);
	t1_map(&space, stall.page, IOVA, T1_PAGE, T1_RW);
	t1_pasid_alloc(&c, 7, 7);
	t1_pasid_attach(&dev, 7, space.fd);
	T1_ASSERT_OK(__t1_job_start(&dev, 7, VFIO_TEST_READ, IOVA, 8));
	t1_stall_wait(&stall);
	switch (how) {
	case 0:
		T1_ASSERT_OK(__t1_pasid_detach(&dev, 7));
		T1_ASSERT(t1_job_wait(&dev) == VFIO_TEST_NO_MEMORY);
		break;
	case 1:
		T1_ASSERT(__t1_pasid_free(&c, 7, 7) == 1);
		T1_ASSERT(!t1_pasid_next(&dev, 0));
		break;
	case 2:
		close(space.fd);
		t1_vtest_close(&dev);
		break;
	default:
		kill(getpid(), SIGKILL);
	}
}

TEST_F(space, stalled)
{
	struct t1_stall stall;
	int how, status;
	pid_t pid;

	if (__t1_stall_init(&stall))
		SKIP(return, T1_STALL_HINT);
	t1_stall_destroy(&stall);
	for (how = 0; how < 4; how++) {
		pid = fork();
		if (!pid) {
			stall_and_end(t1_vtest_find(1), how);
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(how == 3 ? SIGKILL : 0, status);
	}
}

/* Another process maps in a space by its file: it is that one's memory that is seen. */
TEST_F(space, another_process)
{
	int sync[2], done[2];
	char byte = 0;
	pid_t pid;

	t1_pasid_attach(&self->dev, 5, self->a.fd);
	ASSERT_EQ(0, pipe(sync));
	ASSERT_EQ(0, pipe(done));
	pid = fork();
	if (!pid) {
		t1_map(&self->a, get_ram(99), IOVA, SIZE, T1_RW);
		T1_ASSERT(write(sync[1], &byte, 1) == 1);
		T1_ASSERT(read(done[0], &byte, 1) == 1);
		_exit(0);
	}
	ASSERT_EQ(1, read(sync[0], &byte, 1));
	EXPECT_EQ(99, see(5));
	ASSERT_EQ(1, write(done[1], &byte, 1));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	/* With the process its memory is gone, not the mapping. */
	EXPECT_EQ(-1, see(5));
	EXPECT_EQ(-EEXIST, __t1_map(&self->a, self->ram, IOVA, SIZE, T1_RW));
}

/*
 * Device memory in a space: reached while it is on and its device is open, by the
 * mapping of the process.
 */
TEST_F(space, peer)
{
	const char *bdf = t1_require(T1_IVSHMEM, 0);
	struct t1_target target;

	t1_target_open(&target, bdf, 2, 0);
	*target.mem = 55;
	t1_map(&self->a, target.mem, IOVA, T1_RIG_SIZE, T1_RW);
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	EXPECT_EQ(55, see(5));
	t1_set_memory(&target.dev, false);
	EXPECT_EQ(-1, see(5));
	t1_set_memory(&target.dev, true);
	EXPECT_EQ(55, see(5));
	t1_target_close(&target);
	EXPECT_EQ(-1, see(5));
	t1_unmap(&self->a, IOVA, T1_RIG_SIZE);
}

/* Nothing of a space keeps the module when its file is closed, nor is at work in it. */
TEST_F(space, module_unload)
{
	int i;

	if (geteuid())
		SKIP(return, "only root can unload modules");
	for (i = 0; i < 5; i++) {
		t1_map(&self->a, self->ram_a, IOVA, SIZE, T1_RW);
		t1_pasid_attach(&self->dev, 5, self->a.fd);
		munmap(self->mem, T1_PAGE);
		t1_vtest_close(&self->dev);
		close(self->b.fd);
		EXPECT_EQ(-1, syscall(SYS_delete_module, "vfio_iommu_type1", O_NONBLOCK));
		close(self->a.fd);
		ASSERT_EQ(0, syscall(SYS_delete_module, "vfio_iommu_type1", O_NONBLOCK));
		ASSERT_EQ(0, system("modprobe vfio_iommu_type1"));
		t1_vtest_open(&self->dev, &self->c, self->name);
		self->mem = t1_vtest_mmap(&self->dev, T1_PAGE);
		t1_space_create(&self->c, &self->a);
		t1_space_create(&self->c, &self->b);
		t1_pasid_alloc(&self->c, 5, 5);
	}
}

/* A container with an IOMMU: its limits for IOVAs and its pins are not the spaces'. */
TEST_F(space, with_iommu)
{
	struct t1_device edu;
	__u64 locked;

	t1_device_open(&edu, &self->c, t1_require(T1_EDU, 0));
	locked = t1_locked_kib();
	t1_map(&self->a, self->ram_a, IOVA, SIZE, T1_RW);
	EXPECT_EQ(locked, t1_locked_kib());
	EXPECT_EQ(-EINVAL, __t1_map(&self->c, self->ram, MSI, T1_PAGE, T1_RW));
	t1_map(&self->a, self->ram, MSI, T1_PAGE, T1_RW);
	t1_map(&self->c, self->ram, IOVA, SIZE, T1_RW);
	EXPECT_EQ(locked + SIZE / 1024, t1_locked_kib());
	t1_pasid_attach(&self->dev, 5, self->a.fd);
	EXPECT_EQ(11, see(5));
	EXPECT_EQ(10, see(0));

	/* With the device, the space works on. */
	t1_unmap(&self->c, IOVA, SIZE);
	t1_device_close(&edu);
	EXPECT_EQ(11, see(5));
}

TEST_HARNESS_MAIN
