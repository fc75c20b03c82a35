// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-probe: can the caller use a device through VFIO, and with which
 * features?
 */
#include <errno.h>
#include <getopt.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vfio-probe.h"

/* Inode of the first user namespace in /proc (PROC_USER_INIT_INO) */
#define INIT_USER_NS	0xeffffffd

static void usage(FILE *stream)
{
	fputs("Usage: " NAME " [--json] [--memory SIZE] ADDRESS | GROUP\n"
	      "\n"
	      "Tells whether you can use a PCI device (0000:00:10.0, 00:10.0) or an IOMMU\n"
	      "group (12) through VFIO as things are, and what VFIO offers for it. Changes\n"
	      "nothing and loads no module.\n"
	      "\n"
	      "  -j, --json         JSON, whose keys vfio-probe(8) lists\n"
	      "  -m, --memory SIZE  memory to be mapped for DMA, 4G for example: may you\n"
	      "                     lock so much?\n"
	      "  -h, --help\n"
	      "\n"
	      "Exit status: 0 usable, 1 not usable (stderr says why), 2 error.\n", stream);
}

static __u64 parse_size(const char *arg)
{
	static const char units[] = "kmgt";
	unsigned long long size = 0;
	unsigned int shift = 0;
	const char *unit;
	char *end = NULL;

	errno = 0;
	if (arg[0] >= '0' && arg[0] <= '9') {
		size = strtoull(arg, &end, 10);
		unit = *end ? strchr(units, *end | 0x20) : NULL;
		if (unit) {
			shift = 10 * (unit - units + 1);
			end++;
		}
	}
	if (!size || errno || *end || size > ~0ULL >> shift)
		die("%s is no size: give bytes, or a number and K, M, G or T", arg);
	return size << shift;
}

/*
 * The kernel requires the capability in the first user namespace. Root in
 * another user namespace does not have it.
 */
static bool may_lock_anything(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct stat ns;

	if (!stat("/proc/self/ns/user", &ns) && ns.st_ino != INIT_USER_NS)
		return false;
	if (syscall(SYS_capget, &head, data))
		return false;
	return data[0].effective & (1U << CAP_IPC_LOCK);
}

/* Whole pages count, and mapped memory counts in each container anew. */
static void check_memlock(struct probe *p, __u64 needed)
{
	struct memlock *m = &p->memlock;
	__u64 page = sysconf(_SC_PAGESIZE);
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		die("getrlimit: %s", strerror(errno));
	m->exempt = may_lock_anything();
	m->limit = limit.rlim_cur == RLIM_INFINITY ? NO_LIMIT : limit.rlim_cur;
	m->needed = needed;
	m->suffices = m->exempt || m->limit == NO_LIMIT ||
		      needed / page + !!(needed % page) <= m->limit / page;
	if (!m->suffices)
		add_reason(p,
			   "%llu KiB cannot be mapped for DMA, the limit of locked memory is %llu KiB: raise it (ulimit -l, LimitMEMLOCK=)",
			   (unsigned long long)needed / 1024 + !!(needed % 1024),
			   (unsigned long long)m->limit / 1024);
}

static void find_out(struct probe *p, const char *target, __u64 memory)
{
	bool ready;

	find_target(p, target);
	ready = find_modules(p);
	if (p->group >= 0) {
		find_members(p);
		if (ready)
			query(p);
		explain_members(p);
	}
	check_memlock(p, memory);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "memory", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	static struct probe p = { .group = -1 };
	__u64 memory = 0;
	bool json = false;
	size_t i;
	int c;

	while ((c = getopt_long(argc, argv, "jm:h", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'm':
			memory = parse_size(optarg);
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind != argc - 1) {
		usage(stderr);
		return 2;
	}

	find_out(&p, argv[optind], memory);
	report(&p, json);
	if (fflush(stdout) || ferror(stdout))
		die("the output cannot be written: %s", strerror(errno));
	for (i = 0; i < p.nr_reasons; i++)
		fprintf(stderr, NAME ": %s\n", p.reasons[i]);
	return !!p.nr_reasons;
}
