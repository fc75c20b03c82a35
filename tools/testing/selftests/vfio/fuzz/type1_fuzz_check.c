// SPDX-License-Identifier: GPL-2.0-only
/* The devices that are there, and what has to be so when all is closed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/type1_pasid.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_vtest.h"
#include "type1_fuzz.h"

#define DMA_ENTRIES	65535	/* type1's default */
#define FREQUENT	20	/* weight of what every run does hundreds of times */

static void add_device(struct fuzz_shared *shared, const char *name, int kind, int group)
{
	struct fuzz_device *device = &shared->device[shared->devices];

	if (shared->devices == FUZZ_DEVICES)
		return;
	shared->devices++;
	snprintf(device->name, sizeof(device->name), "%s", name);
	device->kind = kind;
	device->group = group;
	device->slow = kind == T1_NVME || kind == T1_E1000E;
}

static void find_caps(struct fuzz_device *device)
{
	struct t1_container c;
	struct t1_device dev;

	t1_container_open(&c);
	t1_device_open(&dev, &c, device->name);
	device->pm = t1_find_cap(&dev, PCI_CAP_ID_PM);
	device->exp = t1_find_cap(&dev, PCI_CAP_ID_EXP);
	t1_device_close(&dev);
	t1_container_close(&c);
}

bool fuzz_find_devices(struct fuzz_shared *shared)
{
	unsigned int kind, nth;
	const char *name;

	for (kind = 0; kind < T1_KINDS; kind++) {
		/* Its BAR is for tests that do not run with KASAN. */
		if (kind == T1_TESTDEV)
			continue;
		for (nth = 0; (name = t1_find(kind, nth)); nth++) {
			add_device(shared, name, kind, t1_group_of(name));
			find_caps(&shared->device[shared->devices - 1]);
		}
	}
	for (nth = 0; (name = t1_vtest_find(nth)); nth++)
		add_device(shared, name, FUZZ_VTEST, t1_vtest_group(name));
	return shared->devices;
}

/* Who maps a device's memory right now may keep it for a moment more. */
static int open_group(int group)
{
	unsigned int i;
	char path[32];
	int fd = -1;

	snprintf(path, sizeof(path), "/dev/vfio/%d", group);
	for (i = 0; i < 1000 && fd < 0; i++) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0 && errno != EBUSY)
			break;
		if (fd < 0)
			usleep(10000);
	}
	if (fd < 0)
		printf("# group %d: %m\n", group);
	else if (i > 100)
		printf("# group %d took %u ms to close\n", group, i * 10);
	return fd;
}

static bool check(bool ok, const char *what, const char *of)
{
	if (!ok)
		printf("# %s: %s\n", what, of);
	fflush(stdout);
	return ok;
}

static bool check_device(const struct fuzz_device *device, int group)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, device->name);
	bool ok;

	ok = check(fd >= 0, "cannot be opened", device->name) &&
	     check(!ioctl(fd, VFIO_DEVICE_GET_INFO, &info), "does not work", device->name);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool check_container(struct t1_container *c, unsigned int groups, bool all)
{
	unsigned int quota = groups * t1_pasids_per_group();
	struct vfio_iommu_type1_info_cap_pasid info = t1_pasid_info(c);
	bool ok;

	ok = check(t1_dma_avail(c) == DMA_ENTRIES, "mappings are lost", "container");
	ok &= check(!info.used, "PASIDs are in use", "container");
	ok &= check(info.quota == quota, "another quota", "container");
	if (all)
		ok &= check(t1_pasid_alloc_all(c, 1, 0xfffff) == quota, "PASIDs are lost",
			    "container");
	return ok && check(!t1_locked_kib(), "memory is locked", "container");
}

/* All groups together in one container */
static bool check_groups(struct fuzz_shared *shared, bool all)
{
	unsigned int i, j, groups = 0;
	int fds[FUZZ_DEVICES];
	struct t1_container c;
	bool ok = true;

	t1_container_open(&c);
	for (i = 0; i < shared->devices; i++) {
		for (j = 0; j < i; j++)
			if (shared->device[j].group == shared->device[i].group)
				break;
		if (j < i) {
			fds[i] = fds[j];
			continue;
		}
		fds[i] = open_group(shared->device[i].group);
		ok = fds[i] >= 0 &&
		     check(!ioctl(fds[i], VFIO_GROUP_SET_CONTAINER, &c.fd), "does not attach",
			   shared->device[i].name);
		if (!ok || (!groups++ && ioctl(c.fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)))
			return false;
	}
	for (i = 0; i < shared->devices && all; i++)
		ok &= check_device(&shared->device[i], fds[i]);
	return check_container(&c, groups, all) && ok;
}

bool fuzz_check_groups(struct fuzz_shared *shared, bool all)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		/* Until whatever ends this process when it hangs */
		alarm(120);
		_exit(!check_groups(shared, all));
	}
	T1_ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid);
	return !status;
}

static void print_row(const char *name, const __u64 *results, __u64 time)
{
	__u64 total = 0;
	unsigned int i;

	for (i = 0; i < FUZZ_SKIPPED; i++)
		total += results[i];
	printf("# %-16s %6llu calls %6llu ok %6llu ms, %llu without", name, total, results[0],
	       time / 1000000, results[FUZZ_SKIPPED]);
	for (i = 1; i < FUZZ_SKIPPED; i++)
		if (results[i])
			printf(", %s %llu", strerrorname_np(i) ?: "?", results[i]);
	printf("\n");
}

void fuzz_print_table(struct fuzz_shared *shared)
{
	unsigned int op;

	for (op = 0; fuzz_ops[op].name; op++)
		print_row(fuzz_ops[op].name, shared->results[op], shared->times[op]);
}

static bool there_is(struct fuzz_shared *shared, int kind)
{
	unsigned int i;

	for (i = 0; i < shared->devices; i++)
		if (kind == FUZZ_ANY || shared->device[i].kind == kind)
			return true;
	return false;
}

bool fuzz_must_succeed(struct fuzz_shared *shared, unsigned int op)
{
	return !fuzz_ops[op].unable && there_is(shared, fuzz_ops[op].kind);
}

unsigned int fuzz_never_warm(struct fuzz_shared *shared)
{
	unsigned int op, count = 0;

	for (op = 0; fuzz_ops[op].name; op++) {
		if (!fuzz_must_succeed(shared, op) || shared->warm[op])
			continue;
		printf("# %s does not succeed in a state made for it\n", fuzz_ops[op].name);
		count++;
	}
	return count;
}

static bool failed(struct fuzz_shared *shared, unsigned int op)
{
	return !shared->results[op][0] && fuzz_ops[op].weight >= FREQUENT &&
	       fuzz_must_succeed(shared, op);
}

unsigned int fuzz_never(struct fuzz_shared *shared, bool print)
{
	unsigned int op, count = 0;

	for (op = 0; fuzz_ops[op].name; op++) {
		if (!failed(shared, op))
			continue;
		if (print)
			printf("# %s never succeeded at random\n", fuzz_ops[op].name);
		count++;
	}
	return count;
}
