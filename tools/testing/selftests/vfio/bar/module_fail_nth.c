// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation fails once while a module gets ready, and while the devices are
 * registered that one of them makes at that time. The module is there, with all of
 * its devices or without some, or it is not there at all.
 *
 * Needs root, CONFIG_FAULT_INJECTION, CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC, and
 * that none of VFIO's modules is loaded.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_fail.h"

#define MANY	100000	/* more than it takes to load a module */

static bool loaded(const char *module)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s", module);
	return !access(path, F_OK);
}

static int run(const char *command, const char *module)
{
	char line[128];

	snprintf(line, sizeof(line), "%s %s", command, module);
	return system(line);
}

/* The file of a module; -1 if it is built in, or not known to this kernel */
static int open_module(const char *module)
{
	char line[80], path[256] = "";
	FILE *f;

	snprintf(line, sizeof(line), "modinfo -n %s 2>/dev/null", module);
	f = popen(line, "r");
	T1_ASSERT(f);
	if (fscanf(f, "%255s", path) != 1)
		path[0] = '\0';
	pclose(f);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int load(int file, const char *parameters)
{
	return syscall(SYS_finit_module, file, parameters, 0) ? -errno : 0;
}

static void unload(const char *module)
{
	T1_ASSERT(!syscall(SYS_delete_module, module, 0));
}

/* Devices that the module has made, and that their driver has taken */
static int devices(void)
{
	char path[80];
	int i, count = 0;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/sys/bus/platform/drivers/vfio-test/vfio-test.%d", i);
		count += !access(path, F_OK);
	}
	return count;
}

FIXTURE(module) {
	int file;
};

FIXTURE_VARIANT(module) {
	const char *name;
	const char *unload;	/* the same, and what is loaded with it */
	const char *parameters;
	const char *bad;	/* a parameter that is refused */
	int devices;
};

FIXTURE_VARIANT_ADD(module, vfio) {
	.name = "vfio",
	.unload = "vfio_iommu_type1 vfio",
	.parameters = "",
	.bad = "enable_unsafe_noiommu_mode=bad",
};

FIXTURE_VARIANT_ADD(module, vfio_iommu_type1) {
	.name = "vfio_iommu_type1",
	.unload = "vfio_iommu_type1",
	.parameters = "",
	.bad = "allow_unsafe_interrupts=bad",
};

FIXTURE_VARIANT_ADD(module, vfio_test) {
	.name = "vfio_test",
	.unload = "vfio_test",
	.parameters = "devices=1",
	.bad = "devices=bad",
	.devices = 1,
};

FIXTURE_SETUP(module)
{
	if (__t1_fail_setup())
		T1_SKIP("%s", T1_FAIL_HINT);
	if (loaded("vfio"))
		T1_SKIP("vfio is loaded, or built in: type: modprobe -r vfio_test vfio_pci");
	self->file = open_module(variant->name);
	if (self->file < 0)
		T1_SKIP("no module %s: type: modinfo %s", variant->name, variant->name);
	/* What it depends on stays. */
	ASSERT_EQ(0, run("modprobe", variant->name));
	ASSERT_EQ(0, run("rmmod", variant->unload));
}

FIXTURE_TEARDOWN(module)
{
	close(self->file);
	run("modprobe -qr", "vfio_test vfio_iommu_type1 vfio pasid_pool");
	EXPECT_FALSE(loaded("vfio"));
}

/* How many allocations a load takes */
static unsigned int allocations(int file, const char *parameters, int error)
{
	int ret;

	t1_fail_nth(MANY);
	ret = load(file, parameters);
	T1_ASSERT(ret == error);
	return MANY - t1_fail_spare();
}

/*
 * Not those of the module loader: some of them are tracing's, which warns. A bad
 * parameter is found when these are over.
 */
TEST_F_TIMEOUT(module, load, 600)
{
	unsigned int before = allocations(self->file, variant->bad, -EINVAL);
	unsigned int nth, failed = 0, fewer = 0;
	int ret = -1, found = 0;
	bool more = true;

	for (nth = before + 1; more && nth < MANY; nth++) {
		t1_fail_nth(nth);
		ret = load(self->file, variant->parameters);
		more = t1_failed();
		found = devices();
		if (ret) {
			EXPECT_FALSE(loaded(variant->name));
			EXPECT_EQ(0, found);
			failed++;
			continue;
		}
		fewer += found < variant->devices;
		unload(variant->name);
		EXPECT_EQ(0, devices());
	}
	TH_LOG("%u allocations failed, %u times no module, %u times fewer devices",
	       nth - before - 2, failed, fewer);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(variant->devices, found);
	EXPECT_LT(0, failed);
	EXPECT_TRUE(fewer || !variant->devices);
}

TEST_HARNESS_MAIN
