// SPDX-License-Identifier: GPL-2.0-only
/*
 * Let an edu device write to the BAR of an ivshmem device, in a nested guest
 * without a virtual IOMMU: an address on its bus is an address in the guest. QEMU
 * has mapped the BAR for the DMA of edu, as it does with all memory of the guest,
 * and the host's kernel does the rest.
 *
 * Prints facts and states as guest_devices does. The host answers what to do next:
 * "reboot", or "unplugged" when the target is not there any more. Ends with 3 for
 * a reboot.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/type1.h"

#define DEVICES		"/sys/bus/pci/devices"
#define DMA_SIZE	(EDU_BUF_SIZE / 2)
#define WORDS		(DMA_SIZE / 4)

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
	struct dirent *entry;
	unsigned int seen;
	int fd;

	T1_ASSERT(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		fd = sysfs_open(entry->d_name, "config", O_RDONLY);
		T1_ASSERT(pread(fd, &seen, sizeof(seen), 0) == sizeof(seen));
		close(fd);
		if (seen == id)
			return strdup(entry->d_name);
	}
	t1_fail(__FILE__, __LINE__, "no such device", 0);
	return NULL;
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

int main(void)
{
	char *edu = find(0x11e81234), *target = find(0x11101af4), answer[16] = "";
	__u32 *bar = map_bar(target, "resource2", 2 * T1_PAGE);
	void *bar0 = map_bar(edu, "resource0", T1_EDU_BAR_SIZE);
	__u64 address = bar_address(target);
	bool ok;
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < WORDS; i++) {
		bar[i] = 0x9e3779b9 * (i + 1);
		bar[T1_PAGE / 4 + i] = 0;
	}
	edu_dma_from(bar0, address, 0, DMA_SIZE);
	edu_dma_to(bar0, address + T1_PAGE, 0, DMA_SIZE);
	ok = true;
	for (i = 0; i < WORDS; i++)
		ok &= bar[T1_PAGE / 4 + i] == (__u32)(0x9e3779b9 * (i + 1));
	printf("%c %-41s -> %d bytes, %s\n", ok ? ' ' : '!',
	       "guest: DMA of edu within ivshmem's BAR", DMA_SIZE, ok ? "equal" : "different");

	printf("@bare_dma\n");
	T1_ASSERT(fgets(answer, sizeof(answer), stdin));
	if (!strncmp(answer, "reboot", 6))
		return 3;

	ok = !__edu_dma_to(bar0, address, 0, DMA_SIZE);
	printf("%c %-41s -> %s\n", ok ? ' ' : '!', "guest: DMA of edu to where the BAR was",
	       ok ? "ends" : "never ends");
	return !ok;
}
