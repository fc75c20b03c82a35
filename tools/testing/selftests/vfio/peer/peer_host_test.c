// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory goes off behind the back of the device's user: a reset by the host, an
 * error on the PCI bus, a reset of the PF of a VF. Translations to the memory are
 * gone meanwhile, and come back when the BARs are what they were.
 *
 * Needs root, who does such things. Fails on stock 6.1, which has no tracepoint
 * and where the translation stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_delay.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_iommu.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL
#define REG	0x200	/* at 0x5000 in e1000e's BAR: keeps what is written */

static int open_config(const char *bdf)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = open(path, O_RDWR | O_CLOEXEC);
	T1_ASSERT(fd >= 0);
	return fd;
}

static int write_sysfs(const char *bdf, const char *name, const char *value)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, name);
	return __t1_write_file(path, value);
}

FIXTURE(host) {
	struct t1_rig rig;
	struct t1_target target;
	const char *bdf;
};

FIXTURE_SETUP(host)
{
	const char *edu = t1_require(T1_EDU, 0);
	int ret;

	self->bdf = t1_find_multi(T1_E1000E, 1, 0);
	if (!self->bdf)
		T1_SKIP("no group with 1 of it: %s", t1_find_hint(T1_E1000E));
	ret = t1_trace_start("vfio_peer");
	if (ret)
		T1_SKIP("no trace: %s: run as root, with tracefs", strerror(-ret));
	t1_rig_open(&self->rig, edu);
	t1_target_open(&self->target, self->bdf, 0, 0x5000);
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_trace_clear();
}

FIXTURE_TEARDOWN(host)
{
	t1_unmap(&self->rig.c, IOVA, SIZE);
	t1_target_close(&self->target);
	t1_rig_close(&self->rig);
}

static bool arrives(struct t1_rig *rig, struct t1_target *target)
{
	return t1_dma_arrives(rig, IOVA + REG, target->mem + REG / 4);
}

/* Events up to the last one of @want, for which it waits if need be */
#define expect_events(want) do {					\
	char __got[32];						\
	int __left = 6000;						\
									\
	do {								\
		t1_trace_read(IOVA, __got, sizeof(__got)); \
		if (strlen(__got) >= strlen(want))			\
			break;						\
		usleep(10000);						\
	} while (__left--);						\
	EXPECT_STREQ(want, __got);					\
} while (0)

static bool translated(struct t1_rig *rig)
{
	return t1_rig_translates(rig, IOVA + REG);
}

/* Anybody can see this one: are all ranges of the container suspended? */
static bool suspended(struct t1_rig *rig)
{
	long ranges = t1_told(&rig->c, "vfio-peer-ranges");

	T1_ASSERT(ranges > 0);
	return t1_told(&rig->c, "vfio-peer-suspended") == ranges;
}

TEST_F(host, sysfs_reset)
{
	int i;

	for (i = 1; i <= 3; i++) {
		ASSERT_EQ(0, write_sysfs(self->bdf, "reset", "1"));
		EXPECT_TRUE(translated(&self->rig));
	}
	expect_events("srsrsr");
	EXPECT_TRUE(arrives(&self->rig, &self->target));
}

TEST_F(host, sysfs_reset_while_off)
{
	t1_set_memory(&self->target.dev, false);
	ASSERT_EQ(0, write_sysfs(self->bdf, "reset", "1"));
	EXPECT_FALSE(translated(&self->rig));
	expect_events("s");
	t1_set_memory(&self->target.dev, true);
	expect_events("sr");
	EXPECT_TRUE(arrives(&self->rig, &self->target));
}

/* What leaving D3hot clears without NoSoftRst, but not in QEMU */
static void clear_command(const char *bdf)
{
	int fd = open_config(bdf);
	__u16 command = 0;

	T1_ASSERT(pwrite(fd, &command, sizeof(command), PCI_COMMAND) == sizeof(command));
	close(fd);
}

/* The reset leaves D3hot; what the user had before it comes back all the same. */
TEST_F(host, reset_in_d3hot)
{
	const __u16 command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	t1_set_power_state(&self->target.dev, 3);
	expect_events("s");
	clear_command(self->bdf);
	ASSERT_EQ(0, write_sysfs(self->bdf, "reset", "1"));
	EXPECT_FALSE(translated(&self->rig));
	t1_set_power_state(&self->target.dev, 0);
	EXPECT_EQ(command, t1_config_read(&self->target.dev, PCI_COMMAND, 2) & command);
	expect_events("sr");
	EXPECT_TRUE(arrives(&self->rig, &self->target));
}

/* Else tests of what is not translated see nothing, here and elsewhere. */
TEST_F(host, translations_are_seen)
{
	const char *edu = self->rig.edu.bdf;

	if (!t1_tables_visible())
		SKIP(return, "%s", T1_TABLES_HINT);
	EXPECT_TRUE(t1_translates(edu, IOVA));
	EXPECT_TRUE(t1_translates(edu, T1_RIG_RAM));
	EXPECT_FALSE(t1_translates(edu, IOVA + SIZE));
}

#define require_error(status) do {					\
	int __ret = t1_inject_error(self->bdf, status);			\
									\
	if (__ret)							\
		SKIP(return, "no AER error: %s: %s", strerror(-__ret), T1_ERROR_HINT); \
} while (0)

/* Nothing is lost, so DMA goes on. */
TEST_F(host, error)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	__u64 count;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, __t1_trigger(&self->target.dev, VFIO_PCI_ERR_IRQ_INDEX,
				  VFIO_IRQ_SET_DATA_EVENTFD, 1, &fd));
	require_error(T1_ERROR_NOT_FATAL);
	EXPECT_EQ(sizeof(count), read(fd, &count, sizeof(count)));
	t1_let_recovery_end();
	close(fd);
	expect_events("");
	EXPECT_TRUE(arrives(&self->rig, &self->target));
}

/*
 * A fatal error ends in a reset of the bus, which loses the BARs. No reset brings
 * them back, for it restores what it found; the user does who turns memory on.
 */
TEST_F(host, fatal_error)
{
	require_error(T1_ERROR_FATAL);
	expect_events("s");
	/* One more reset cannot get in its way. */
	t1_let_recovery_end();
	EXPECT_FALSE(translated(&self->rig));
	EXPECT_EQ(0, __t1_reset(&self->target.dev));
	EXPECT_FALSE(translated(&self->rig));
	expect_events("s");
	t1_set_memory(&self->target.dev, true);
	expect_events("sr");
	EXPECT_TRUE(arrives(&self->rig, &self->target));
}

/* The port above a function */
static const char *port_of(const char *bdf)
{
	static char path[PATH_MAX];
	char link[64];

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/..", bdf);
	T1_ASSERT(realpath(link, path));
	return strrchr(path, '/') + 1;
}

static void memory_on(void *dev)
{
	t1_set_memory(dev, true);
}

/*
 * Recovery comes again after the BARs were seen to be back, and loses them. Its look
 * waits for what was decided by the first one.
 */
TEST_F(host, fatal_error_while_restoring)
{
	struct t1_race race;

	if (!t1_race_usable())
		SKIP(return, "%s", T1_RACE_HINT);
	t1_race_free_interrupts(port_of(self->bdf));
	require_error(T1_ERROR_FATAL);
	expect_events("s");
	t1_let_recovery_end();
	t1_race_begin_free(&race, "vfio_peers_unblock", "", memory_on, &self->target.dev);
	EXPECT_EQ(0, t1_inject_error(self->bdf, T1_ERROR_FATAL));
	t1_let_recovery_end();
	EXPECT_FALSE(t1_race_overtaken());
	t1_race_end(&race);
	EXPECT_TRUE(suspended(&self->rig));
	EXPECT_FALSE(translated(&self->rig));
	t1_set_memory(&self->target.dev, true);
	EXPECT_TRUE(arrives(&self->rig, &self->target));
}

static void inject_fatal(void *bdf)
{
	T1_ASSERT_OK(t1_inject_error(bdf, T1_ERROR_FATAL));
}

/* Who opens the device in the midst of a recovery does not end it. */
TEST_F(host, opened_in_recovery)
{
	struct t1_race race;

	if (!t1_race_usable())
		SKIP(return, "%s", T1_RACE_HINT);
	if (access("/dev/aer_inject", W_OK))
		SKIP(return, "no AER error: %s: %s", strerror(errno), T1_ERROR_HINT);
	t1_unmap(&self->rig.c, IOVA, SIZE);
	t1_target_close(&self->target);
	t1_race_delay_interrupts(port_of(self->bdf));
	/* Drivers have been told, and the bus is about to be reset. */
	t1_race_begin_free(&race, "pci_bus_error_reset", "", inject_fatal, (void *)self->bdf);
	t1_target_open(&self->target, self->bdf, 0, 0x5000);
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	EXPECT_TRUE(suspended(&self->rig));
	EXPECT_FALSE(translated(&self->rig));
	EXPECT_TRUE(t1_race_overtaken());
	t1_race_end(&race);
	t1_let_recovery_end();
	expect_events("m");
	EXPECT_FALSE(translated(&self->rig));
	t1_set_memory(&self->target.dev, true);
	expect_events("mr");
	EXPECT_TRUE(translated(&self->rig));
	EXPECT_TRUE(arrives(&self->rig, &self->target));
}

/* Does the function become suspended, as one that is closed does? */
static bool becomes_suspended(const char *bdf)
{
	char path[96], status[16];
	int ms;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/power/runtime_status", bdf);
	for (ms = 0; ms < 10000; ms += 10) {
		t1_read_file(path, status, sizeof(status));
		if (!strncmp(status, "suspended", 9))
			return true;
		usleep(10000);
	}
	return false;
}

/*
 * Recovery resumes a closed function under pci_bus_sem, and a change of the power
 * state takes that under memory_lock: lockdep tells if the order is not one.
 */
TEST_F(host, power_state_and_recovery)
{
	t1_set_power_state(&self->target.dev, 3);
	t1_set_power_state(&self->target.dev, 0);
	t1_unmap(&self->rig.c, IOVA, SIZE);
	t1_target_close(&self->target);
	EXPECT_TRUE(becomes_suspended(self->bdf));
	require_error(T1_ERROR_NOT_FATAL);
	t1_let_recovery_end();
	t1_target_open(&self->target, self->bdf, 0, 0x5000);
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_set_command(&self->target.dev, PCI_COMMAND_MEMORY, true);
	EXPECT_TRUE(arrives(&self->rig, &self->target));
}

/* Read or write the BARs of a function, whether or not it has a driver. */
static void copy_bars(const char *bdf, __u32 *bars, bool write)
{
	const off_t at = PCI_BASE_ADDRESS_0;
	const size_t size = 6 * sizeof(*bars);
	int fd = open_config(bdf);

	T1_ASSERT((write ? pwrite(fd, bars, size, at) : pread(fd, bars, size, at)) ==
		  (ssize_t)size);
	close(fd);
}

/*
 * Recovery fails for a function whose neighbour has no driver, and nobody is told.
 * Opened anew, the function works as ever. Nobody but this test restores the neighbour.
 */
TEST_F(host, recovery_fails)
{
	const char *bdf = t1_find_multi(T1_E1000E, 2, 0), *other = t1_find_multi(T1_E1000E, 2, 1);
	struct t1_target target;
	__u32 bars[6];

	if (!bdf)
		SKIP(return, "no group with 2 of it: %s", t1_find_hint(T1_E1000E));
	ASSERT_EQ(0, write_sysfs(bdf, "driver/unbind", other));
	copy_bars(other, bars, false);
	t1_unmap(&self->rig.c, IOVA, SIZE);
	t1_target_open(&target, bdf, 0, 0x5000);
	t1_map(&self->rig.c, target.mem, IOVA, SIZE, T1_RW);
	t1_trace_clear();
	EXPECT_EQ(0, t1_inject_error(bdf, T1_ERROR_FATAL));
	expect_events("s");
	t1_let_recovery_end();
	t1_set_memory(&target.dev, true);
	EXPECT_FALSE(translated(&self->rig));
	t1_target_close(&target);

	t1_target_open(&target, bdf, 0, 0x5000);
	t1_set_memory(&target.dev, true);
	t1_map(&self->rig.c, target.mem, IOVA, SIZE, T1_RW);
	EXPECT_TRUE(translated(&self->rig));
	EXPECT_TRUE(arrives(&self->rig, &target));
	t1_target_close(&target);
	copy_bars(other, bars, true);
	EXPECT_EQ(0, write_sysfs(bdf, "driver/bind", other));
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
}

/* The PF takes the memory of its VFs along when it is reset. */
FIXTURE(pf) {
	struct t1_rig rig;
	struct t1_container c;
	struct t1_device pf, vf;
	void *mem;
	char enable_sriov[8];
};

#define ENABLE_SRIOV	"/sys/module/vfio_pci/parameters/enable_sriov"
#define TOKEN	"01234567-89ab-cdef-0123-456789abcdef"

static int set_token(struct t1_device *pf)
{
	struct {
		struct vfio_device_feature head;
		__u8 uuid[16];
	} arg = {
		.head = {
			.argsz = sizeof(arg),
			.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
		},
		.uuid = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
			  0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef },
	};

	return ioctl(pf->fd, VFIO_DEVICE_FEATURE, &arg) ? -errno : 0;
}

/* A function that has VFs, and that vfio-pci lets have them */
static const char *find_pf(void)
{
	char path[PATH_MAX];
	const char *bdf;
	int i;

	for (i = 0; (bdf = t1_find(T1_NVME, i)); i++) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/sriov_numvfs", bdf);
		if (!access(path, W_OK))
			return bdf;
	}
	return NULL;
}

static void vf_open(struct t1_device *vf, struct t1_container *c, const char *pf)
{
	char path[PATH_MAX], target[PATH_MAX] = "", name[80];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/virtfn0", pf);
	T1_ASSERT(readlink(path, target, sizeof(target) - 1) > 0);
	strcpy(vf->bdf, strrchr(target, '/') + 1);
	/* QEMU 7.2 loses VFs with the reset of their PF: one of the VF would wait. */
	T1_ASSERT_OK(write_sysfs(vf->bdf, "reset_method", "\n"));
	T1_ASSERT_OK(__t1_group_get(c, t1_group_of(vf->bdf), &vf->group));
	snprintf(name, sizeof(name), "%s vf_token=" TOKEN, vf->bdf);
	vf->fd = ioctl(vf->group->fd, VFIO_GROUP_GET_DEVICE_FD, name);
	T1_ASSERT(vf->fd >= 0);
	vf->regions[0] = (struct vfio_region_info){ .argsz = sizeof(vf->regions[0]) };
	T1_ASSERT(!ioctl(vf->fd, VFIO_DEVICE_GET_REGION_INFO, &vf->regions[0]));
}

FIXTURE_SETUP(pf)
{
	const char *edu = t1_require(T1_EDU, 0), *bdf = find_pf();

	if (!bdf)
		T1_SKIP("no PF: QEMU: -device nvme-subsys,... -device nvme,sriov_max_vfs=1,...");
	if (t1_trace_start("vfio_peer"))
		T1_SKIP("no trace: run as root, with tracefs");
	/* No register of the VF keeps what is written. */
	if (!t1_tables_visible())
		T1_SKIP("%s", T1_TABLES_HINT);
	t1_read_file(ENABLE_SRIOV, self->enable_sriov, sizeof(self->enable_sriov));
	ASSERT_EQ(0, __t1_write_file(ENABLE_SRIOV, "Y"));
	t1_rig_open(&self->rig, edu);
	t1_container_open(&self->c);
	t1_device_open(&self->pf, &self->c, bdf);
	ASSERT_EQ(0, set_token(&self->pf));
	ASSERT_EQ(0, write_sysfs(bdf, "sriov_numvfs", "1"));
	vf_open(&self->vf, &self->c, bdf);
	self->mem = t1_bar_mmap(&self->vf, 0, 0, SIZE);
	t1_map(&self->rig.c, self->mem, IOVA, SIZE, T1_RW);
	t1_trace_clear();
}

FIXTURE_TEARDOWN(pf)
{
	t1_unmap(&self->rig.c, IOVA, SIZE);
	munmap(self->mem, SIZE);
	t1_device_close(&self->vf);
	EXPECT_EQ(0, write_sysfs(self->pf.bdf, "sriov_numvfs", "0"));
	t1_device_close(&self->pf);
	t1_container_close(&self->c);
	t1_rig_close(&self->rig);
	EXPECT_EQ(0, __t1_write_file(ENABLE_SRIOV, self->enable_sriov));
}

TEST_F(pf, reset)
{
	EXPECT_EQ(0, __t1_reset(&self->pf));
	expect_events("sr");
	EXPECT_TRUE(translated(&self->rig));
	EXPECT_EQ(0, write_sysfs(self->pf.bdf, "reset", "1"));
	expect_events("srsr");
	EXPECT_TRUE(translated(&self->rig));
}

#define SRIOV		0x10	/* extended capability */
#define SRIOV_CTRL	0x08
#define SRIOV_CTRL_MSE	0x08

/* What a reset of the bus clears, but not in QEMU */
static void set_memory_of_vfs(const char *pf, bool on)
{
	__u32 header = 0, pos = 0x100;
	int fd = open_config(pf);
	__u16 ctrl = 0;

	while (pread(fd, &header, 4, pos) == 4 && (header & 0xffff) != SRIOV) {
		pos = header >> 20;
		T1_ASSERT(pos);
	}
	T1_ASSERT(pread(fd, &ctrl, 2, pos + SRIOV_CTRL) == 2);
	ctrl = on ? ctrl | SRIOV_CTRL_MSE : ctrl & ~SRIOV_CTRL_MSE;
	T1_ASSERT(pwrite(fd, &ctrl, 2, pos + SRIOV_CTRL) == 2);
	close(fd);
}

/* VFs have lost their memory with their PF, whose reset brings it back. */
TEST_F(pf, fatal_error)
{
	int ret;

	/* Recovery can be over before anything is done after the error. */
	set_memory_of_vfs(self->pf.bdf, false);
	ret = t1_inject_error(port_of(self->pf.bdf), T1_ERROR_FATAL);
	if (ret) {
		set_memory_of_vfs(self->pf.bdf, true);
		SKIP(return, "no AER error: %s: %s", strerror(-ret), T1_ERROR_HINT);
	}
	expect_events("s");
	t1_let_recovery_end();
	EXPECT_FALSE(translated(&self->rig));
	t1_set_command(&self->vf, PCI_COMMAND_MASTER, true);
	EXPECT_FALSE(translated(&self->rig));
	set_memory_of_vfs(self->pf.bdf, true);
	EXPECT_EQ(0, write_sysfs(self->pf.bdf, "reset", "1"));
	EXPECT_TRUE(translated(&self->rig));
}

TEST_HARNESS_MAIN
