// SPDX-License-Identifier: GPL-2.0-only
/* Ioctls of devices. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../lib/type1_vtest.h"
#include "type1_fuzz.h"

static int op_device_info(struct fuzz *f)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	return fuzz_call(f, FUZZ_DEVICE, VFIO_DEVICE_GET_INFO, &info, sizeof(info));
}

static int op_region_info(struct fuzz *f)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = fuzz_below(f, 12) };

	/* Its capabilities follow: there is room. */
	if (fuzz_one_in(f, 2))
		info.argsz = 1024;
	return fuzz_call(f, FUZZ_DEVICE, VFIO_DEVICE_GET_REGION_INFO, &info, sizeof(info));
}

static int op_irq_info(struct fuzz *f)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = fuzz_below(f, 6) };

	return fuzz_call(f, FUZZ_DEVICE, VFIO_DEVICE_GET_IRQ_INFO, &info, sizeof(info));
}

static __u32 irq_flags(struct fuzz *f)
{
	static const __u32 flags[] = {
		VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK,
		VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK,
		VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK,
		VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER,
		VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_UNMASK,
	};

	return flags[fuzz_below(f, 8)];
}

static int op_set_irqs(struct fuzz *f)
{
	__u32 buf[9];
	struct vfio_irq_set *arg = (void *)buf;
	__s32 *fds = (void *)arg->data;
	unsigned int i;
	int dev;

	arg->argsz = sizeof(buf);
	arg->flags = irq_flags(f);
	arg->index = fuzz_below(f, VFIO_PCI_NUM_IRQS);
	arg->start = fuzz_below(f, 4) ? 0 : fuzz_or_edge(f, 1);
	arg->count = fuzz_or_edge(f, fuzz_below(f, 4) ? 1 : fuzz_below(f, 5));
	/* -1 takes an eventfd away. */
	for (i = 0; i < 4; i++)
		fds[i] = fuzz_one_in(f, 4) ? -1 : fuzz_file(f, FUZZ_EVENTFD, &dev);
	return fuzz_call(f, FUZZ_DEVICE, VFIO_DEVICE_SET_IRQS, buf, sizeof(buf));
}

static int op_reset(struct fuzz *f)
{
	int dev, fd = fuzz_device(f, fuzz_one_in(f, 8) ? FUZZ_ANY : FUZZ_VTEST, &dev);

	if (fd < 0)
		return 1;
	return ioctl(fd, VFIO_DEVICE_RESET) ? -errno : 0;
}

static int op_hot_reset_info(struct fuzz *f)
{
	__u32 buf[32] = { };
	struct vfio_pci_hot_reset_info *arg = (void *)buf;

	arg->argsz = fuzz_one_in(f, 4) ? sizeof(*arg) : sizeof(buf);
	return fuzz_call(f, FUZZ_DEVICE, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, buf, sizeof(buf));
}

static int op_hot_reset(struct fuzz *f)
{
	__u32 buf[5] = { };
	struct vfio_pci_hot_reset *arg = (void *)buf;
	int fd, dev;

	fd = fuzz_device(f, fuzz_one_in(f, 2) ? T1_NVME : T1_E1000E, &dev);
	if (fd < 0)
		return 1;
	arg->argsz = sizeof(buf);
	arg->count = fuzz_one_in(f, 8) ? 2 : 1;
	arg->group_fds[0] = fuzz_group_file(f, f->shared->device[dev].group);
	arg->group_fds[1] = fuzz_file(f, FUZZ_GROUP, &dev);
	fuzz_mutate(f, buf, sizeof(buf));
	return fuzz_ioctl(f, fd, VFIO_DEVICE_PCI_HOT_RESET, buf, sizeof(buf));
}

/* The offset remains where nothing breaks (see type1_fuzz_region.c) or nothing is. */
static int op_ioeventfd(struct fuzz *f)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = sizeof(arg),
		.flags = fuzz_or_edge(f, 1 << fuzz_below(f, 4)),
		.offset = (fuzz_one_in(f, 2) ? 2ULL << VFIO_TEST_OFFSET_SHIFT : 0) + 0x1000 +
			  8 * fuzz_below(f, 0x100) + (fuzz_one_in(f, 8) ? 1 : 0),
		.data = fuzz_edge(f),
	};
	int dev, fd = fuzz_file(f, FUZZ_DEVICE, &dev);

	if (fd < 0)
		return 1;
	if (fuzz_one_in(f, 8))
		arg.offset |= -1ULL << (VFIO_TEST_OFFSET_SHIFT + fuzz_below(f, 20));
	arg.fd = fuzz_one_in(f, 4) ? -1 : fuzz_or_edge(f, fuzz_file(f, FUZZ_EVENTFD, &dev));
	return fuzz_ioctl(f, fd, VFIO_DEVICE_IOEVENTFD, &arg, sizeof(arg));
}

int fuzz_feature(struct fuzz *f, int kind, __u32 flags, const void *data, size_t size)
{
	char buf[64] = {};
	struct vfio_device_feature *arg = (void *)buf;
	int dev, fd = fuzz_device(f, kind, &dev);

	if (fd < 0)
		return 1;
	arg->argsz = sizeof(*arg) + size;
	arg->flags = flags;
	memcpy(arg->data, data, size);
	fuzz_mutate(f, arg, arg->argsz);
	return fuzz_ioctl(f, fd, VFIO_DEVICE_FEATURE, arg, sizeof(buf));
}

static int op_feature(struct fuzz *f)
{
	__u32 number = fuzz_one_in(f, 4) ? VFIO_DEVICE_FEATURE_PASID : fuzz_below(f, 10);
	/* Get, set, probe, in all ways to combine them */
	__u32 flags = number | fuzz_below(f, 8) << 16;
	__u64 data[4] = { fuzz_edge(f), fuzz_edge(f), fuzz_edge(f), fuzz_edge(f) };

	return fuzz_feature(f, FUZZ_ANY, flags, data, sizeof(data));
}

static int power(struct fuzz *f, __u32 number, const void *data, size_t size)
{
	int kind = fuzz_one_in(f, 2) ? T1_NVME : fuzz_one_in(f, 2) ? T1_E1000E : FUZZ_ANY;

	return fuzz_feature(f, kind, VFIO_DEVICE_FEATURE_SET | number, data, size);
}

static int op_low_power_entry(struct fuzz *f)
{
	return power(f, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, NULL, 0);
}

static int op_low_power_wakeup(struct fuzz *f)
{
	struct vfio_device_low_power_entry_with_wakeup entry = { };
	int dev;

	entry.wakeup_eventfd = fuzz_file(f, FUZZ_EVENTFD, &dev);
	return power(f, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &entry, sizeof(entry));
}

static int op_low_power_exit(struct fuzz *f)
{
	return power(f, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, NULL, 0);
}

static int op_device_garbage(struct fuzz *f)
{
	int dev, fd = fuzz_file(f, FUZZ_DEVICE, &dev);
	__u64 value = fuzz_edge(f);

	if (fd < 0)
		return 1;
	/* No ioeventfd by chance */
	memset(f->scratch, 0, 64);
	memcpy(f->scratch + 8 * fuzz_below(f, 8), &value, sizeof(value));
	if (ioctl(fd, _IO(VFIO_TYPE, VFIO_BASE + fuzz_below(f, 32)), f->scratch) < 0)
		return -errno;
	return 0;
}

const struct fuzz_op fuzz_device_ops[] = {
	{ "device_info", 30, op_device_info, FUZZ_ANY },
	{ "region_info", 50, op_region_info, FUZZ_ANY },
	{ "irq_info", 40, op_irq_info, FUZZ_ANY },
	{ "set_irqs", 60, op_set_irqs, FUZZ_ANY },
	{ "reset", 4, op_reset, FUZZ_ANY },
	{ "hot_reset_info", 30, op_hot_reset_info, T1_E1000E },
	{ "hot_reset", 3, op_hot_reset, T1_E1000E },
	{ "ioeventfd", 40, op_ioeventfd, T1_IVSHMEM },
	{ "feature", 60, op_feature, FUZZ_ANY },
	{ "low_power_entry", 4, op_low_power_entry, T1_E1000E },
	{ "low_power_wakeup", 4, op_low_power_wakeup, T1_E1000E },
	{ "low_power_exit", 8, op_low_power_exit, T1_E1000E },
	{ "device_garbage", 15, op_device_garbage, FUZZ_ANY,
	  "hardly any number takes a structure of zeros" },
	{ }
};
