// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel lets root see of translations: the IOMMU's page tables by
 * debugfs, and the tracepoints of peer memory by a tracefs instance.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "type1.h"
#include "type1_file.h"
#include "type1_iommu.h"

#define TABLES		"/sys/kernel/debug/iommu/intel/domain_translation_struct"
#define INSTANCES	"/sys/kernel/tracing/instances"

bool t1_has_function(const char *name)
{
	FILE *symbols = fopen("/proc/kallsyms", "r");
	char line[256], found[128];
	bool has = false;

	T1_ASSERT(symbols);
	while (!has && fgets(line, sizeof(line), symbols))
		has = sscanf(line, "%*s %*s %127s", found) == 1 && !strcmp(found, name);
	fclose(symbols);
	return has;
}

bool t1_tables_visible(void)
{
	return !access(TABLES, R_OK);
}

/*
 * "Device BDF @...", a heading, and a line for each leaf: page frame number of
 * the IOVA, then an entry for each level, 0 below a superpage.
 */
unsigned int t1_entry_pages(const char *bdf, __u64 iova)
{
	__u64 pfn, entry[5], pages;
	char line[256], name[32];
	unsigned int found = 0;
	bool here = false;
	FILE *f;

	f = fopen(TABLES, "r");
	T1_ASSERT(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Device %31s", name) == 1)
			here = !strcmp(name, bdf);
		if (!here || sscanf(line, "%llx%*[ |\t]%llx %llx %llx %llx %llx", &pfn, &entry[0],
				    &entry[1], &entry[2], &entry[3], &entry[4]) != 6)
			continue;
		pages = entry[4] ? 1 : entry[3] ? 512 : 512 * 512;
		if (iova >> 12 >= pfn && iova >> 12 < pfn + pages)
			found = pages;
	}
	fclose(f);
	return found;
}

bool t1_translates(const char *bdf, __u64 iova)
{
	return t1_entry_pages(bdf, iova);
}

/*
 * One instance for all tests of a program: to make and to remove one takes as long
 * as a whole test. Harnesses run each test in a child, which leaves by _exit().
 */
static char trace_dir[64];

static void trace_remove(void)
{
	rmdir(trace_dir);
}

static void __attribute__((constructor)) trace_prepare(void)
{
	snprintf(trace_dir, sizeof(trace_dir), INSTANCES "/vfio_test_%d", getpid());
	atexit(trace_remove);
}

static int write_trace(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", trace_dir, name);
	return __t1_write_file(path, text);
}

int t1_trace_start(const char *system)
{
	char name[64];
	int ret;

	if (mkdir(trace_dir, 0700) && errno != EEXIST)
		return -errno;
	snprintf(name, sizeof(name), "events/%s/enable", system);
	ret = write_trace(name, "1");
	if (ret)
		rmdir(trace_dir);
	return ret;
}

void t1_trace_clear(void)
{
	T1_ASSERT_OK(write_trace("trace", " "));
}

bool t1_trace_has(const char *event, const char *text)
{
	char path[128], line[256], name[64];
	bool found = false;
	FILE *f;

	snprintf(name, sizeof(name), " %s: ", event);
	snprintf(path, sizeof(path), "%s/trace", trace_dir);
	f = fopen(path, "r");
	T1_ASSERT(f);
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, name) && strstr(line, text);
	fclose(f);
	return found;
}

/* A letter for each event at @iova, in the order of their time */
void t1_trace_read(__u64 iova, char *events, size_t size)
{
	static const char * const names[] = { "map", "suspend", "resume", "revoke" };
	static const char letters[] = "msrx";
	char path[128], line[256], want[64];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/trace", trace_dir);
	f = fopen(path, "r");
	T1_ASSERT(f);
	while (fgets(line, sizeof(line), f) && n + 1 < size) {
		snprintf(want, sizeof(want), " iova=0x%llx ", iova);
		if (!strstr(line, want))
			continue;
		for (unsigned int i = 0; i < 4; i++) {
			snprintf(want, sizeof(want), "vfio_peer_%s:", names[i]);
			if (strstr(line, want))
				events[n++] = letters[i];
		}
	}
	events[n] = '\0';
	fclose(f);
}
