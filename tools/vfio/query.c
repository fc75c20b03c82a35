// SPDX-License-Identifier: GPL-2.0-only
/*
 * To close the files undoes everything here: the group leaves the container
 * with its last file, and no device of it is ever opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vfio-probe.h"

#define CONTAINER	"/dev/vfio/vfio"

const struct extension type_list[TYPES] = {
	[TYPE_1] = { "TYPE1", VFIO_TYPE1_IOMMU, false },
	[TYPE_1V2] = { "TYPE1v2", VFIO_TYPE1v2_IOMMU, false },
	[TYPE_NOIOMMU] = { "NOIOMMU", VFIO_NOIOMMU_IOMMU, false },
};

const struct extension extension_list[EXTENSIONS] = {
	[EXT_PASID] = { "pasid_alloc", VFIO_PASID_ALLOC, false },
	[EXT_PEER] = { "peer_revoke", VFIO_DMA_PEER_REVOKE, false },
	[EXT_UNMAP_ALL] = { "unmap_all", VFIO_UNMAP_ALL, false },
	[EXT_UPDATE_VADDR] = { "update_vaddr", VFIO_UPDATE_VADDR, true },
	[EXT_DMA_CC] = { "dma_cache_coherent", VFIO_DMA_CC_IOMMU, true },
};

static void check_extensions(int fd, const struct extension *list, size_t count,
			     bool attached, enum answer *answers)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (list[i].attached_only && !attached)
			answers[i] = UNKNOWN;
		else
			answers[i] = ioctl(fd, VFIO_CHECK_EXTENSION, list[i].id) > 0 ? YES : NO;
	}
}

static int open_container(struct probe *p)
{
	int fd = open(CONTAINER, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		if (errno == EACCES)
			add_reason(p,
				   "permission denied on /dev/vfio/vfio: ask the administrator for mode 0666, which gives no device away");
		else
			add_reason(p, CONTAINER " cannot be opened: %s", strerror(errno));
		return -1;
	}
	if (ioctl(fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
		die("the kernel has another version of VFIO than this program, which has %d",
		    VFIO_API_VERSION);
	p->container.open = true;
	check_extensions(fd, type_list, TYPES, false, p->container.types);
	return fd;
}

static void explain_group(struct probe *p, int error)
{
	switch (error) {
	case EACCES:
		add_reason(p,
			   "permission denied on %s: ask the administrator to make you its owner (chown)",
			   p->file);
		break;
	case EBUSY:
		add_reason(p, "group %d is in use by another process: end it, fuser %s names it",
			   p->group, p->file);
		break;
	case EPERM:
		add_reason(p, "%s takes CAP_SYS_RAWIO: run as root, or turn the IOMMU on",
			   p->file);
		break;
	case ENOENT:
		add_reason(p, "there is no file %s: it is missing from this /dev only", p->file);
		break;
	default:
		add_reason(p, "%s cannot be opened: %s", p->file, strerror(error));
	}
}

/* The kernel's answer on viability is better than that of sysfs. */
static void ask_status(struct probe *p, int group)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	if (!ioctl(group, VFIO_GROUP_GET_STATUS, &status))
		p->viable = status.flags & VFIO_GROUP_FLAGS_VIABLE ? YES : NO;
}

static int open_group(struct probe *p)
{
	int fd = open(p->file, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		explain_group(p, errno);
	else
		ask_status(p, fd);
	return fd;
}

static int best_type(const struct probe *p)
{
	if (p->noiommu)
		return TYPE_NOIOMMU;
	return p->container.types[TYPE_1V2] == YES ? TYPE_1V2 : TYPE_1;
}

static bool attach(struct probe *p, int container, int group)
{
	int type = best_type(p);

	if (p->container.types[type] != YES) {
		add_reason(p, "the kernel offers no IOMMU of %s: modprobe vfio_iommu_type1",
			   type_list[type].name);
		return false;
	}
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container)) {
		add_reason(p, "group %d cannot be put into a container: %s", p->group,
			   strerror(errno));
		return false;
	}
	if (!ioctl(container, VFIO_SET_IOMMU, type_list[type].id))
		return true;
	if (errno == EPERM)
		add_reason(p,
			   "the IOMMU does not remap interrupts, so group %d is refused: turn interrupt remapping on",
			   p->group);
	else
		add_reason(p, "the IOMMU does not take group %d: %s: the kernel's log may say why",
			   p->group, strerror(errno));
	return false;
}

/* All of VFIO_IOMMU_GET_INFO, with its capabilities; NULL for no-IOMMU. */
static struct vfio_iommu_type1_info *get_info(const struct probe *p, int container)
{
	struct vfio_iommu_type1_info *info = NULL;
	__u32 size = sizeof(*info);

	for (;;) {
		info = allocate(info, size);
		memset(info, 0, size);
		info->argsz = size;
		if (ioctl(container, VFIO_IOMMU_GET_INFO, info)) {
			if (!p->noiommu)
				die("VFIO_IOMMU_GET_INFO: %s", strerror(errno));
			free(info);
			return NULL;
		}
		/* The answer may have grown meanwhile. */
		if (info->argsz <= size)
			return info;
		size = info->argsz;
	}
}

/*
 * A copy of a capability, with all bytes behind it, because the kernel does not
 * align it; NULL if there is no such capability of at least @min bytes.
 */
static void *copy_cap(const struct vfio_iommu_type1_info *info, __u16 id, size_t min)
{
	struct vfio_info_cap_header header;
	__u32 at = info->flags & VFIO_IOMMU_INFO_CAPS ? info->cap_offset : 0;
	char *copy;

	while (at && at + sizeof(header) <= info->argsz) {
		memcpy(&header, (const char *)info + at, sizeof(header));
		if (header.id == id && at + min <= info->argsz) {
			copy = allocate(NULL, info->argsz - at);
			return memcpy(copy, (const char *)info + at, info->argsz - at);
		}
		/* Forward only, so that the loop ends. */
		at = header.next > at ? header.next : 0;
	}
	return NULL;
}

static void read_info(struct probe *p, int fd)
{
	struct vfio_iommu_type1_info *info = get_info(p, fd);
	struct container *c = &p->container;

	if (!info)
		return;
	if (info->flags & VFIO_IOMMU_INFO_PGSIZES)
		c->page_sizes = info->iova_pgsizes;
	c->iova = copy_cap(info, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, sizeof(*c->iova));
	c->migration = copy_cap(info, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, sizeof(*c->migration));
	c->dma_avail = copy_cap(info, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, sizeof(*c->dma_avail));
	c->pasid = copy_cap(info, VFIO_IOMMU_TYPE1_INFO_CAP_PASID, sizeof(*c->pasid));
	free(info);
}

void query(struct probe *p)
{
	struct container *c = &p->container;
	int container, group = -1;

	container = open_container(p);
	if (*p->file)
		group = open_group(p);
	else if (p->any_vfio)
		add_reason(p, "VFIO gives no file to group %d: set CONFIG_VFIO_GROUP", p->group);
	if (container >= 0 && group >= 0 && p->viable == YES)
		c->attached = attach(p, container, group);
	if (container >= 0) {
		check_extensions(container, extension_list, EXTENSIONS, c->attached,
				 c->extensions);
		if (c->attached)
			read_info(p, container);
	}
	if (group >= 0)
		close(group);
	if (container >= 0)
		close(container);
}
