// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tests use what somebody has bound to vfio-pci on purpose; they never take
 * a device away from a driver. bind.sh binds.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "type1.h"
#include "type1_find.h"

#define SYSFS_DEVICES	"/sys/bus/pci/devices"
#define SYSFS_VFIO_PCI	"/sys/bus/pci/drivers/vfio-pci"
#define MAX_FOUND	16

static const struct {
	const char *name;
	const char *env;
	unsigned int vendor, device;
	const char *qemu;
} kinds[T1_KINDS] = {
	[T1_EDU] = { "edu", "VFIO_TEST_EDU", 0x1234, 0x11e8, "edu" },
	[T1_IVSHMEM] = { "ivshmem", "VFIO_TEST_IVSHMEM", 0x1af4, 0x1110,
			 "ivshmem-plain,memdev=..." },
	[T1_NVME] = { "nvme", "VFIO_TEST_NVME", 0x1b36, 0x0010,
		      "nvme,cmb_size_mb=16,bus=root_port,..." },
	[T1_E1000E] = { "e1000e", "VFIO_TEST_E1000E", 0x8086, 0x10d3, "e1000e,bus=root_port" },
	[T1_TESTDEV] = { "pci-testdev", "VFIO_TEST_TESTDEV", 0x1b36, 0x0005,
			 "pci-testdev,membar=128G" },
	[T1_IGB] = { "igb", "VFIO_TEST_IGB", 0x8086, 0x10c9, "igb,bus=root_port" },
};

static unsigned int read_hex(const char *bdf, const char *file)
{
	char path[PATH_MAX];
	unsigned int value = 0;
	FILE *f;

	snprintf(path, sizeof(path), SYSFS_DEVICES "/%s/%s", bdf, file);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%x", &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

static bool is_kind(const char *bdf, enum t1_kind kind)
{
	return read_hex(bdf, "vendor") == kinds[kind].vendor &&
	       read_hex(bdf, "device") == kinds[kind].device;
}

int t1_group_at(const char *dir)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *name;
	ssize_t len;

	snprintf(path, sizeof(path), "%s/iommu_group", dir);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	name = strrchr(target, '/');
	return name ? atoi(name + 1) : -ENODEV;
}

int t1_group_of(const char *bdf)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), SYSFS_DEVICES "/%s", bdf);
	return t1_group_at(dir);
}

bool t1_group_usable(int group)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%d", group);
	return !access(path, R_OK | W_OK);
}

static bool usable(const char *bdf)
{
	return t1_group_usable(t1_group_of(bdf));
}

/* List devices of a kind below @dir, in the order of their addresses. */
static unsigned int scan(const char *dir, enum t1_kind kind, char found[][T1_BDF_LEN])
{
	struct dirent **entries;
	int count, i;
	unsigned int n = 0;

	count = scandir(dir, &entries, NULL, alphasort);
	if (count < 0)
		return 0;
	for (i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;

		if (strlen(name) < T1_BDF_LEN && n < MAX_FOUND && is_kind(name, kind))
			strcpy(found[n++], name);
		free(entries[i]);
	}
	free(entries);
	return n;
}

static unsigned int from_env(const char *list, char found[][T1_BDF_LEN])
{
	char *copy = strdup(list), *rest = NULL, *name;
	unsigned int n = 0;

	for (name = strtok_r(copy, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
		if (strlen(name) < T1_BDF_LEN && n < MAX_FOUND)
			strcpy(found[n++], name);
	free(copy);
	return n;
}

static unsigned int find_all(enum t1_kind kind, char found[][T1_BDF_LEN])
{
	const char *list = getenv(kinds[kind].env);
	unsigned int i, n, count;

	if (list)
		return from_env(list, found);
	count = scan(SYSFS_VFIO_PCI, kind, found);
	for (i = 0, n = 0; i < count; i++)
		if (usable(found[i]))
			memmove(found[n++], found[i], T1_BDF_LEN);
	return n;
}

const char *t1_find_multi(enum t1_kind kind, unsigned int functions, unsigned int nth)
{
	static char found[MAX_FOUND][T1_BDF_LEN];
	unsigned int i, j, same, count = find_all(kind, found);

	for (i = 0; i < count; i++) {
		for (j = 0, same = 0; j < count; j++)
			same += t1_group_of(found[i]) == t1_group_of(found[j]);
		if ((!functions || same == functions) && !nth--)
			return strdup(found[i]);
	}
	return NULL;
}

const char *t1_find(enum t1_kind kind, unsigned int nth)
{
	return t1_find_multi(kind, 0, nth);
}

/* The first device of a kind that is not bound to vfio-pci; "BDF" when none is there */
static const char *unbound(enum t1_kind kind)
{
	static char found[MAX_FOUND][T1_BDF_LEN];
	unsigned int i, count = scan(SYSFS_DEVICES, kind, found);
	char path[PATH_MAX];

	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), SYSFS_VFIO_PCI "/%s", found[i]);
		if (access(path, F_OK))
			return found[i];
	}
	return "BDF";
}

const char *t1_find_hint(enum t1_kind kind)
{
	static char hint[900];
	char found[MAX_FOUND][T1_BDF_LEN];
	unsigned int i, count = scan(SYSFS_VFIO_PCI, kind, found);
	const char *bdf = unbound(kind);

	for (i = 0; i < count; i++) {
		if (usable(found[i]))
			continue;
		snprintf(hint, sizeof(hint), "no access to %s %s: type: chown $USER /dev/vfio/%d",
			 kinds[kind].name, found[i], t1_group_of(found[i]));
		return hint;
	}

	snprintf(hint, sizeof(hint),
		 "%u %s bound to vfio-pci (QEMU: -device %s); for more type: %s%s%s; %s%s%s",
		 count, kinds[kind].name, kinds[kind].qemu,
		 "echo vfio-pci > " SYSFS_DEVICES "/", bdf, "/driver_override",
		 "echo ", bdf, " > /sys/bus/pci/drivers_probe");
	return hint;
}
