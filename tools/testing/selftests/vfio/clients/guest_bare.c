// SPDX-License-Identifier: GPL-2.0-only
/*
 * Let an edu device write to the BAR of an ivshmem device, in a nested guest
 * without a virtual IOMMU: an address on its bus is an address in the guest. QEMU
 * has mapped the BAR for the DMA of edu, as it does with all memory of the guest,
 * and the host's kernel does the rest. An nvme device is a target that can be reset.
 *
 * Prints facts and states as guest_devices does. The host answers what to do next:
 * "reboot", or "unplugged" when the target is not there any more. Ends with 3 for
 * a reboot. With an argument, only lets edu write and write, until the host has seen
 * enough.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/type1.h"
#include "../lib/type1_edu.h"
#include "../lib/type1_rig.h"

#define DEVICES		"/sys/bus/pci/devices"
#define DMA_SIZE	(EDU_BUF_SIZE / 2)
#define WORDS		(DMA_SIZE / 4)

/* Vendor and device, as the configuration space has them */
#define EDU		0x11e81234
#define IVSHMEM		0x11101af4
#define NVME		0x00101b36

static int sysfs_open(const char *bdf, const char *name, int flags)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), DEVICES "/%s/%s", bdf, name);
	fd = open(path, flags);
	T1_ASSERT(fd >= 0);
	return fd;
}

static char *find(unsigned int id)
{
	DIR *dir = opendir(DEVICES);
	char *found = NULL;
	struct dirent *entry;
	unsigned int seen;
	int fd;

	T1_ASSERT(dir);
	while (!found && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		fd = sysfs_open(entry->d_name, "config", O_RDONLY);
		T1_ASSERT(pread(fd, &seen, sizeof(seen), 0) == sizeof(seen));
		close(fd);
		if (seen == id)
			found = strdup(entry->d_name);
	}
	closedir(dir);
	return found;
}

/* A device that is plugged in takes the guest's kernel a while. */
static char *wait_for(unsigned int id)
{
	int left = 300;
	char *found;

	while (!(found = find(id))) {
		T1_ASSERT(left--);
		usleep(100000);
	}
	return found;
}

static void *map_bar(const char *bdf, const char *resource, size_t size)
{
	__u16 command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	int fd = sysfs_open(bdf, "config", O_RDWR);
	void *bar;

	T1_ASSERT(pwrite(fd, &command, sizeof(command), PCI_COMMAND) == sizeof(command));
	close(fd);
	fd = sysfs_open(bdf, resource, O_RDWR);
	bar = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	T1_ASSERT(bar != MAP_FAILED);
	close(fd);
	return bar;
}

/* Where BAR 2 is on the bus */
static __u64 bar_address(const char *bdf)
{
	FILE *f = fdopen(sysfs_open(bdf, "resource", O_RDONLY), "r");
	__u64 start = 0;
	int i;

	for (i = 0; i <= 2; i++)
		T1_ASSERT(fscanf(f, "%llx %*x %*x", &start) == 1);
	fclose(f);
	return start;
}

/* Does edu copy within the BAR at @address? */
static bool copies(void *bar0, __u32 *bar, __u64 address)
{
	bool ok = true;
	int i;

	for (i = 0; i < WORDS; i++) {
		bar[i] = 0x9e3779b9 * (i + 1);
		bar[T1_PAGE / 4 + i] = 0;
	}
	edu_dma_from(bar0, address, 0, DMA_SIZE);
	edu_dma_to(bar0, address + T1_PAGE, 0, DMA_SIZE);
	for (i = 0; i < WORDS; i++)
		ok &= bar[T1_PAGE / 4 + i] == (__u32)(0x9e3779b9 * (i + 1));
	return ok;
}

static void show(const char *what, bool ok, const char *good, const char *bad)
{
	printf("%c %-41s -> %s\n", ok ? ' ' : '!', what, ok ? good : bad);
}

/* A target that can be reset: the kernel does so by FLR. */
static void reset_target(void *bar0)
{
	char *nvme = find(NVME);
	__u32 *bar = map_bar(nvme, "resource2", 2 * T1_PAGE);
	__u64 address = bar_address(nvme);
	int fd;

	show("guest: DMA of edu within nvme's buffer", copies(bar0, bar, address),
	     "equal", "different");
	fd = sysfs_open(nvme, "reset", O_WRONLY);
	T1_ASSERT(write(fd, "1", 1) == 1);
	close(fd);
	show("guest: the same after a reset of nvme", copies(bar0, bar, address),
	     "equal", "different");
}

static void ask(const char *state, char *answer, int size)
{
	printf("@%s\n", state);
	T1_ASSERT(fgets(answer, size, stdin));
}

/* A counter in the second page goes up as long as DMA arrives. */
static void write_forever(void *bar0, __u32 *bar, __u64 address)
{
	__u32 count;

	for (count = 1;; count++) {
		__atomic_store_n(bar, count, __ATOMIC_RELEASE);
		edu_dma_from(bar0, address, 0, sizeof(count));
		edu_dma_to(bar0, address + T1_PAGE, 0, sizeof(count));
		if (count == 2)
			printf("@dma_forever %#llx\n", address + T1_PAGE);
	}
}

int main(int argc, char **argv)
{
	char *edu = find(EDU), *target = find(IVSHMEM), answer[16] = "";
	__u32 *bar = map_bar(target, "resource2", 2 * T1_PAGE);
	void *bar0 = map_bar(edu, "resource0", T1_EDU_BAR_SIZE);
	__u64 address = bar_address(target);
	bool ok;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1)
		write_forever(bar0, bar, address);
	show("guest: DMA of edu within ivshmem's BAR", copies(bar0, bar, address),
	     "equal", "different");
	reset_target(bar0);

	ask("bare_dma", answer, sizeof(answer));
	if (!strncmp(answer, "reboot", 6))
		return 3;

	ok = !__edu_dma_to(bar0, address, 0, DMA_SIZE);
	show("guest: DMA of edu to where the BAR was", ok, "ends", "never ends");

	ask("bare_unplugged", answer, sizeof(answer));
	target = wait_for(IVSHMEM);
	bar = map_bar(target, "resource2", 2 * T1_PAGE);
	ok &= copies(bar0, bar, bar_address(target));
	show("guest: DMA with ivshmem plugged in again", ok, "equal", "different");
	return !ok;
}
