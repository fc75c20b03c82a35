/* SPDX-License-Identifier: GPL-2.0-only */
/* Devices of vfio-pci */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_PCI_H
#define SELFTESTS_VFIO_LIB_TYPE1_PCI_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/pci_regs.h>

#include "type1.h"

struct t1_device {
	char bdf[T1_BDF_LEN];
	int fd;
	struct t1_group *group;
	struct vfio_region_info regions[VFIO_PCI_NUM_REGIONS];
};

int __t1_device_open(struct t1_device *dev, struct t1_container *c, const char *bdf);
void t1_device_open(struct t1_device *dev, struct t1_container *c, const char *bdf);
void t1_device_close(struct t1_device *dev);
/* One more file of a device that is open already. */
int t1_device_reopen(struct t1_device *dev);

/* @offset counts from the start of the BAR. */
__u64 t1_bar_offset(struct t1_device *dev, int bar, __u64 offset);
__u64 t1_bar_size(struct t1_device *dev, int bar);
int __t1_bar_mmap(struct t1_device *dev, int bar, __u64 offset, size_t size, void **addr);
void *t1_bar_mmap(struct t1_device *dev, int bar, __u64 offset, size_t size);

int __t1_config_read(struct t1_device *dev, int pos, int size, __u32 *value);
int __t1_config_write(struct t1_device *dev, int pos, int size, __u32 value);
__u32 t1_config_read(struct t1_device *dev, int pos, int size);
void t1_config_write(struct t1_device *dev, int pos, int size, __u32 value);
/* Position of a capability, 0 when the device has none such. */
int t1_find_cap(struct t1_device *dev, int id);

void t1_set_command(struct t1_device *dev, __u16 mask, bool on);
/* That of its BARs */
void t1_set_memory(struct t1_device *dev, bool on);
/* Need the PCI Express and the power management capability, respectively. */
void t1_flr(struct t1_device *dev);
void t1_set_power_state(struct t1_device *dev, int state);

/* The address of a function that is to have D1 and D2 goes there. */
#define T1_D1D2		"/sys/module/vfio_test_pci/parameters/d1d2"
#define T1_D1D2_HINT	"run as root, with the module vfio_test_pci"

int __t1_reset(struct t1_device *dev);
int __t1_hot_reset(struct t1_device *dev, const int *group_fds, unsigned int count);
/* For @count interrupts of a kind; @values are as @data, one of VFIO_IRQ_SET_DATA_*, says. */
int __t1_trigger(struct t1_device *dev, __u32 index, __u32 data, __u32 count, const void *values);
/* @feature with its VFIO_DEVICE_FEATURE_SET, _GET or _PROBE flag. */
int __t1_feature(struct t1_device *dev, __u32 feature);

/* Bits of the uncorrectable error status: a completion timeout, a data link error */
#define T1_ERROR_NOT_FATAL	0x4000
#define T1_ERROR_FATAL		0x10	/* the bus is reset */

/* Have the host recover from an error, after it has dealt with the one before. */
int t1_inject_error(const char *bdf, __u32 status);
/*
 * Recovery goes on after it told the user, with the device locked: an open or a
 * reset of the device then fails with EAGAIN.
 */
void t1_let_recovery_end(void);
/* The same after several errors, of which some can be one */
void t1_let_recoveries_end(void);
#define T1_ERROR_HINT	"run as root, with CONFIG_PCIEAER_INJECT"

#endif
