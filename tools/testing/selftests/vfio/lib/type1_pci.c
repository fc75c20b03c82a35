// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "type1.h"
#include "type1_file.h"
#include "type1_find.h"
#include "type1_log.h"
#include "type1_pci.h"

static int get_regions(struct t1_device *dev)
{
	struct vfio_region_info *info;
	int i;

	for (i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		info = &dev->regions[i];
		info->argsz = sizeof(*info);
		info->index = i;
		/* A display adapter alone has a VGA region, the others EINVAL. */
		if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info) &&
		    i != VFIO_PCI_VGA_REGION_INDEX)
			return -errno;
	}
	return 0;
}

int t1_device_reopen(struct t1_device *dev)
{
	int fd = ioctl(dev->group->fd, VFIO_GROUP_GET_DEVICE_FD, dev->bdf);

	T1_ASSERT(fd >= 0);
	return fd;
}

int __t1_device_open(struct t1_device *dev, struct t1_container *c, const char *bdf)
{
	int ret;

	memset(dev, 0, sizeof(*dev));
	if (strlen(bdf) >= sizeof(dev->bdf))
		return -EINVAL;
	strcpy(dev->bdf, bdf);

	ret = t1_group_of(bdf);
	if (ret < 0)
		return ret;
	ret = __t1_group_get(c, ret, &dev->group);
	if (ret)
		return ret;

	dev->fd = ioctl(dev->group->fd, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (dev->fd < 0) {
		ret = -errno;
		goto err_put;
	}
	ret = get_regions(dev);
	if (ret)
		goto err_close;
	return 0;

err_close:
	close(dev->fd);
err_put:
	t1_group_put(dev->group);
	return ret;
}

void t1_device_open(struct t1_device *dev, struct t1_container *c, const char *bdf)
{
	T1_ASSERT_OK(__t1_device_open(dev, c, bdf));
	/* Some devices come with their memory off until a driver wants it. */
	t1_set_command(dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, true);
}

void t1_device_close(struct t1_device *dev)
{
	close(dev->fd);
	t1_group_put(dev->group);
	dev->fd = -1;
}

__u64 t1_bar_offset(struct t1_device *dev, int bar, __u64 offset)
{
	return dev->regions[bar].offset + offset;
}

__u64 t1_bar_size(struct t1_device *dev, int bar)
{
	return dev->regions[bar].size;
}

int __t1_bar_mmap(struct t1_device *dev, int bar, __u64 offset, size_t size, void **addr)
{
	*addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd,
		     t1_bar_offset(dev, bar, offset));
	return *addr == MAP_FAILED ? -errno : 0;
}

void *t1_bar_mmap(struct t1_device *dev, int bar, __u64 offset, size_t size)
{
	void *addr;

	T1_ASSERT_OK(__t1_bar_mmap(dev, bar, offset, size, &addr));
	return addr;
}

int __t1_config_read(struct t1_device *dev, int pos, int size, __u32 *value)
{
	ssize_t ret;

	*value = 0;
	ret = pread(dev->fd, value, size,
		    t1_bar_offset(dev, VFIO_PCI_CONFIG_REGION_INDEX, pos));
	if (ret < 0)
		return -errno;
	return ret == size ? 0 : -EIO;
}

int __t1_config_write(struct t1_device *dev, int pos, int size, __u32 value)
{
	ssize_t ret;

	ret = pwrite(dev->fd, &value, size,
		     t1_bar_offset(dev, VFIO_PCI_CONFIG_REGION_INDEX, pos));
	if (ret < 0)
		return -errno;
	return ret == size ? 0 : -EIO;
}

__u32 t1_config_read(struct t1_device *dev, int pos, int size)
{
	__u32 value;

	T1_ASSERT_OK(__t1_config_read(dev, pos, size, &value));
	return value;
}

void t1_config_write(struct t1_device *dev, int pos, int size, __u32 value)
{
	T1_ASSERT_OK(__t1_config_write(dev, pos, size, value));
}

int t1_find_cap(struct t1_device *dev, int id)
{
	int pos, left = 48;

	if (!(t1_config_read(dev, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return 0;
	pos = t1_config_read(dev, PCI_CAPABILITY_LIST, 1);
	while (pos && left--) {
		if (t1_config_read(dev, pos + PCI_CAP_LIST_ID, 1) == id)
			return pos;
		pos = t1_config_read(dev, pos + PCI_CAP_LIST_NEXT, 1);
	}
	return 0;
}

void t1_set_command(struct t1_device *dev, __u16 mask, bool on)
{
	__u32 command = t1_config_read(dev, PCI_COMMAND, 2);

	command = on ? command | mask : command & ~mask;
	t1_config_write(dev, PCI_COMMAND, 2, command);
}

void t1_set_memory(struct t1_device *dev, bool on)
{
	t1_set_command(dev, PCI_COMMAND_MEMORY, on);
}

void t1_flr(struct t1_device *dev)
{
	int cap = t1_find_cap(dev, PCI_CAP_ID_EXP);
	__u32 control;

	T1_ASSERT(cap && t1_config_read(dev, cap + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR);
	control = t1_config_read(dev, cap + PCI_EXP_DEVCTL, 2);
	t1_config_write(dev, cap + PCI_EXP_DEVCTL, 2, control | PCI_EXP_DEVCTL_BCR_FLR);
}

void t1_set_power_state(struct t1_device *dev, int state)
{
	int cap = t1_find_cap(dev, PCI_CAP_ID_PM);
	__u32 control;

	T1_ASSERT(cap);
	control = t1_config_read(dev, cap + PCI_PM_CTRL, 2) & ~PCI_PM_CTRL_STATE_MASK;
	t1_config_write(dev, cap + PCI_PM_CTRL, 2, control | state);
}

int __t1_reset(struct t1_device *dev)
{
	return ioctl(dev->fd, VFIO_DEVICE_RESET) ? -errno : 0;
}

int __t1_hot_reset(struct t1_device *dev, const int *group_fds, unsigned int count)
{
	struct vfio_pci_hot_reset *reset;
	size_t size = sizeof(*reset) + count * sizeof(*group_fds);
	int ret;

	reset = calloc(1, size);
	T1_ASSERT(reset);
	reset->argsz = size;
	reset->count = count;
	memcpy(reset->group_fds, group_fds, count * sizeof(*group_fds));
	ret = ioctl(dev->fd, VFIO_DEVICE_PCI_HOT_RESET, reset) ? -errno : 0;
	free(reset);
	return ret;
}

int __t1_feature(struct t1_device *dev, __u32 feature)
{
	struct vfio_device_feature arg = {
		.argsz = sizeof(arg),
		.flags = feature,
	};

	return ioctl(dev->fd, VFIO_DEVICE_FEATURE, &arg) ? -errno : 0;
}

int __t1_trigger(struct t1_device *dev, __u32 index, __u32 data, __u32 count, const void *values)
{
	size_t size = 0;
	struct {
		struct vfio_irq_set set;
		__u8 values[64];
	} arg = {
		.set.index = index,
		.set.count = count,
		.set.flags = data | VFIO_IRQ_SET_ACTION_TRIGGER,
	};

	if (data == VFIO_IRQ_SET_DATA_EVENTFD)
		size = count * sizeof(__s32);
	else if (data == VFIO_IRQ_SET_DATA_BOOL)
		size = count;
	T1_ASSERT(size <= sizeof(arg.values));
	if (size)
		memcpy(arg.values, values, size);
	arg.set.argsz = sizeof(arg.set) + size;
	return ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, &arg) ? -errno : 0;
}

/* As the kernel's aer-inject.h has it, which is not for user space */
struct aer_error {
	__u8 bus, dev, fn;
	__u32 uncor_status, cor_status, header_log[4], domain;
};

/* What the kernel says in the end, and how it went */
#define RECOVERED	"device recovery "

int t1_inject_error(const char *bdf, __u32 status)
{
	struct aer_error error = { .uncor_status = status };
	unsigned int bus, dev, fn, domain;
	int ret;

	T1_ASSERT(sscanf(bdf, "%x:%x:%x.%x", &domain, &bus, &dev, &fn) == 4);
	error.domain = domain;
	error.bus = bus;
	error.dev = dev;
	error.fn = fn;
	if (access("/dev/aer_inject", W_OK))
		return -errno;
	t1_log_begin();
	while ((ret = __t1_write_data("/dev/aer_inject", &error, sizeof(error))) == -EBUSY)
		usleep(10000);
	return ret;
}

void t1_let_recovery_end(void)
{
	T1_ASSERT(t1_log_wait(RECOVERED, 60000));
}

void t1_let_recoveries_end(void)
{
	t1_let_recovery_end();
	while (t1_log_wait(RECOVERED, 2000))
		;
}
