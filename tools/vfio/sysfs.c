// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfio-probe.h"

#define PCI_DEVICES	"/sys/bus/pci/devices"
#define GROUPS		"/sys/kernel/iommu_groups"

/* Paths that exist if a module is loaded or built in */
const struct module module_list[MODULES] = {
	[MODULE_VFIO] = { "vfio", "/sys/class/misc/vfio" },
	[MODULE_TYPE1] = { "vfio_iommu_type1", "/sys/module/vfio_iommu_type1" },
	[MODULE_PCI] = { "vfio_pci", "/sys/bus/pci/drivers/vfio-pci" },
};

static bool __printf(1, 2) there_is(const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	return !access(path, F_OK);
}

/* The last part of a link's target; false if there is no link. */
static bool link_target(const char *path, char *name, size_t size)
{
	char target[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof(target) - 1);

	name[0] = '\0';
	if (len < 0)
		return false;
	target[len] = '\0';
	strncat(name, basename(target), size - 1);
	return true;
}

/* 0000:00:10.0, or without the domain */
static bool parse_address(const char *arg, char *address, size_t size)
{
	unsigned int domain = 0, bus, slot, function;
	int end = 0;

	if (arg[strspn(arg, "0123456789abcdefABCDEF:.")])
		return false;
	if (sscanf(arg, "%8x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) != 4) {
		domain = 0;
		if (sscanf(arg, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) != 3)
			return false;
	}
	if (arg[end] || slot > 0x1f || function > 7)
		return false;
	snprintf(address, size, "%04x:%02x:%02x.%x", domain, bus, slot, function);
	return true;
}

static int parse_group(const char *arg)
{
	unsigned long number;

	if (!*arg || arg[strspn(arg, "0123456789")])
		return -1;
	errno = 0;
	number = strtoul(arg, NULL, 10);
	return errno || number > INT_MAX ? -1 : (int)number;
}

static void find_device(struct probe *p)
{
	char path[PATH_MAX], group[NAME_MAX + 1];

	if (!there_is(PCI_DEVICES "/%s", p->device))
		die("no device %s: lspci -D lists those there are", p->device);
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/iommu_group", p->device);
	if (link_target(path, group, sizeof(group)))
		p->group = parse_group(group);
	if (p->group < 0)
		add_reason(p,
			   "%s has no IOMMU group: boot with intel_iommu=on, on AMD turn the IOMMU on in the firmware",
			   p->device);
}

void find_target(struct probe *p, const char *arg)
{
	p->group = parse_group(arg);
	if (p->group >= 0) {
		if (!there_is(GROUPS "/%d", p->group))
			die("no IOMMU group %d: ls " GROUPS " lists those there are", p->group);
	} else if (parse_address(arg, p->device, sizeof(p->device))) {
		find_device(p);
	} else {
		die("%s is neither a PCI address, like 0000:00:10.0, nor the number of a group",
		    arg);
	}

	if (there_is("/sys/class/vfio/noiommu-%d", p->group)) {
		p->noiommu = true;
		snprintf(p->file, sizeof(p->file), "/dev/vfio/noiommu-%d", p->group);
	} else if (there_is("/sys/class/vfio/%d", p->group)) {
		snprintf(p->file, sizeof(p->file), "/dev/vfio/%d", p->group);
	}
}

/* Bound to a driver that uses the group's DMA for the host */
static bool is_foreign(const struct member *member)
{
	return *member->driver && !member->vfio && strcmp(member->driver, "pci-stub") &&
	       strcmp(member->driver, "pcieport");
}

/* Since 6.1 a device with a VFIO driver has a vfio-dev; before, by the name. */
static void find_driver(struct member *member, const char *dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s/driver", dir, member->name);
	link_target(path, member->driver, sizeof(member->driver));
	member->vfio = there_is("%s/%s/vfio-dev", dir, member->name) ||
		       strstr(member->driver, "vfio");
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

void find_members(struct probe *p)
{
	struct dirent **entries;
	char dir[64];
	bool foreign = false;
	int i, count;

	snprintf(dir, sizeof(dir), GROUPS "/%d/devices", p->group);
	count = scandir(dir, &entries, not_hidden, alphasort);
	if (count < 0)
		die("%s cannot be read: %s", dir, strerror(errno));
	p->members = allocate(NULL, (count + 1) * sizeof(*p->members));
	p->nr_members = count;
	for (i = 0; i < count; i++) {
		struct member *member = &p->members[i];

		snprintf(member->name, sizeof(member->name), "%s", entries[i]->d_name);
		find_driver(member, dir);
		p->any_vfio |= member->vfio;
		foreign |= is_foreign(member);
		free(entries[i]);
	}
	free(entries);
	p->viable = p->any_vfio && !foreign ? YES : NO;
}

void explain_members(struct probe *p)
{
	bool explained = p->viable == YES;
	size_t i;

	for (i = 0; i < p->nr_members; i++) {
		const struct member *member = &p->members[i];

		if (is_foreign(member) && p->viable == NO)
			add_reason(p,
				   "%s belongs to driver %s: bind it to vfio-pci, like all of group %d",
				   member->name, member->driver, p->group);
		else if (!member->vfio && !strcmp(member->name, p->device))
			add_reason(p, "%s is bound to %s: bind it to vfio-pci", member->name,
				   *member->driver ? member->driver : "no driver");
		else
			continue;
		explained = true;
	}
	if (!explained && p->any_vfio)
		add_reason(p, "group %d is not viable: something in the host uses its DMA",
			   p->group);
	else if (!explained)
		add_reason(p,
			   "no device of group %d is bound to a driver of VFIO: bind one to vfio-pci",
			   p->group);
}

bool find_modules(struct probe *p)
{
	bool ready = true;
	int i;

	for (i = 0; i < MODULES; i++) {
		p->modules[i] = there_is("%s", module_list[i].sign);
		/* Other drivers need no vfio-pci, no-IOMMU needs no type1. */
		if (p->modules[i] || (i == MODULE_PCI && *p->file) ||
		    (i == MODULE_TYPE1 && p->noiommu))
			continue;
		add_reason(p, "module %s is not loaded: modprobe %s",
			   module_list[i].name, module_list[i].name);
		if (i != MODULE_PCI)
			ready = false;
	}
	return ready;
}
