// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads and writes of a device's regions, and DMA that they start.
 *
 * QEMU ends when edu is told to copy from or to what is not its buffer, or to
 * compute a large factorial. So nothing but op_dma() writes to edu's registers, in
 * the first page. As a file may be another device's than it was thought to be, that
 * goes for the first page of every BAR 0.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "../lib/type1_edu.h"
#include "../lib/type1_vtest.h"
#include "type1_fuzz.h"

#define REGION(index)	((__u64)(index) << VFIO_TEST_OFFSET_SHIFT)
#define CONFIG		REGION(VFIO_PCI_CONFIG_REGION_INDEX)

/* Where there are no registers that matter */
#define SAFE		0x1000

#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_SIZE	64

static int read_at(int fd, void *buf, size_t size, __u64 pos)
{
	return pread(fd, buf, size, pos) < 0 ? -errno : 0;
}

static int write_at(int fd, const void *buf, size_t size, __u64 pos)
{
	return pwrite(fd, buf, size, pos) < 0 ? -errno : 0;
}

static unsigned int config_size(struct fuzz *f)
{
	return fuzz_one_in(f, 8) ? fuzz_below(f, 64) : 1 << fuzz_below(f, 3);
}

static unsigned int config_pos(struct fuzz *f)
{
	if (fuzz_one_in(f, 2))
		return fuzz_below(f, 0x40);
	return fuzz_below(f, fuzz_one_in(f, 2) ? 0x100 : 0x1000);
}

static int op_config_read(struct fuzz *f)
{
	int dev, fd = fuzz_file(f, FUZZ_DEVICE, &dev);

	if (fd < 0)
		return 1;
	return read_at(fd, fuzz_pointer(f), config_size(f),
		       CONFIG + fuzz_or_edge(f, config_pos(f)));
}

static int op_config_write(struct fuzz *f)
{
	int dev, fd = fuzz_file(f, FUZZ_DEVICE, &dev);
	__u64 value = fuzz_edge(f);

	if (fd < 0)
		return 1;
	memcpy(f->scratch, &value, sizeof(value));
	return write_at(fd, fuzz_pointer(f), config_size(f) % 5,
			CONFIG + fuzz_or_edge(f, config_pos(f)));
}

/* Memory on, as a rule */
static int op_command(struct fuzz *f)
{
	__u16 command = fuzz_one_in(f, 4) ? fuzz_u64(f) : PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	int dev, fd = fuzz_file(f, FUZZ_DEVICE, &dev);

	if (fd < 0)
		return 1;
	return write_at(fd, &command, sizeof(command), CONFIG + PCI_COMMAND);
}

/* Rewrite some bits of a capability's register. */
static int change(int fd, unsigned int pos, __u16 mask, __u16 bits)
{
	__u16 value;
	int ret = read_at(fd, &value, sizeof(value), CONFIG + pos);

	value = (value & ~mask) | bits;
	return ret ?: write_at(fd, &value, sizeof(value), CONFIG + pos);
}

static int op_power_state(struct fuzz *f)
{
	int dev, fd = fuzz_device(f, fuzz_one_in(f, 2) ? T1_E1000E : T1_NVME, &dev);

	if (fd < 0 || !f->shared->device[dev].pm)
		return 1;
	return change(fd, f->shared->device[dev].pm + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK,
		      fuzz_one_in(f, 2) ? fuzz_below(f, 4) : 0);
}

static int op_flr(struct fuzz *f)
{
	int dev, fd = fuzz_device(f, T1_NVME, &dev);

	if (fd < 0 || !f->shared->device[dev].exp)
		return 1;
	return change(fd, f->shared->device[dev].exp + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR,
		      PCI_EXP_DEVCTL_BCR_FLR);
}

static int op_region_read(struct fuzz *f)
{
	int dev, fd = fuzz_file(f, FUZZ_DEVICE, &dev);
	unsigned int region = fuzz_one_in(f, 4) ? fuzz_below(f, 10) : fuzz_below(f, 2) * 2;

	if (fd < 0)
		return 1;
	return read_at(fd, fuzz_pointer(f), 1 + fuzz_below(f, 64),
		       REGION(region) + fuzz_or_edge(f, SAFE + fuzz_below(f, 0xfc0)));
}

static int op_region_write(struct fuzz *f)
{
	int dev, fd = fuzz_file(f, FUZZ_DEVICE, &dev);
	unsigned int region = fuzz_one_in(f, 2) ? 0 : 2;

	if (fd < 0)
		return 1;
	return write_at(fd, fuzz_pointer(f), 1 + fuzz_below(f, 64),
			REGION(region) + SAFE + fuzz_below(f, 0xfc0));
}

static int edu_register(int fd, unsigned int reg, __u32 value)
{
	__u32 seen = ~value;
	int ret = write_at(fd, &value, sizeof(value), reg);

	ret = ret ?: read_at(fd, &seen, sizeof(seen), reg);
	return ret ?: seen == value ? 0 : -EIO;
}

/*
 * A write is lost while the memory is off, and without effect while a transfer is
 * under way. What matters is that the registers have what they must have.
 */
static int edu_dma(int fd, __u32 iova, bool to_bus)
{
	__u32 command = 1, buffer = EDU_BUF;
	int ret = read_at(fd, &command, sizeof(command), EDU_DMA_CMD);

	if (!ret && command & 1)
		ret = -EBUSY;
	ret = ret ?: edu_register(fd, EDU_DMA_SRC, to_bus ? buffer : iova);
	ret = ret ?: edu_register(fd, EDU_DMA_DST, to_bus ? iova : buffer);
	ret = ret ?: edu_register(fd, EDU_DMA_COUNT, EDU_DMA_SIZE);
	command = to_bus ? 3 : 1;
	return ret ?: write_at(fd, &command, sizeof(command), EDU_DMA_CMD);
}

/* It goes on for a tenth of a second, while other things happen. */
static int op_dma(struct fuzz *f)
{
	int ret, dev, fd = fuzz_device(f, T1_EDU, &dev);

	if (fd < 0)
		return 1;
	ret = pthread_mutex_trylock(&f->shared->edu);
	if (ret == EOWNERDEAD)
		ret = pthread_mutex_consistent(&f->shared->edu);
	if (ret)
		return 1;
	ret = edu_dma(fd, fuzz_mapped(f).iova, fuzz_one_in(f, 2));
	pthread_mutex_unlock(&f->shared->edu);
	return ret;
}

const struct fuzz_op fuzz_region_ops[] = {
	{ "config_read", 60, op_config_read, FUZZ_ANY },
	{ "config_write", 40, op_config_write, FUZZ_ANY },
	{ "command", 40, op_command, FUZZ_ANY },
	{ "power_state", 6, op_power_state, T1_E1000E },
	{ "flr", 3, op_flr, T1_NVME },
	{ "region_read", 50, op_region_read, FUZZ_ANY },
	{ "region_write", 50, op_region_write, FUZZ_ANY },
	{ "dma", 15, op_dma, T1_EDU },
	{ }
};
