// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's log: what comes next, and what VFIO must not have printed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#include "type1.h"
#include "type1_bench.h"
#include "type1_log.h"

/* Where t1_log_wait() goes on */
static int log_fd = -1;

void t1_log_begin(void)
{
	if (log_fd < 0)
		log_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	T1_ASSERT(log_fd >= 0);
	T1_ASSERT(!lseek(log_fd, 0, SEEK_END));
}

bool t1_log_wait(const char *text, unsigned int ms)
{
	struct pollfd log = { .fd = log_fd, .events = POLLIN };
	__u64 end = t1_now() + ms * 1000000ULL;
	static char record[8192];	/* at most so long */
	ssize_t len;

	for (;;) {
		len = read(log_fd, record, sizeof(record) - 1);
		if (len > 0) {
			record[len] = 0;
			if (strstr(record, text))
				return true;
		} else if (errno == EAGAIN) {
			if (t1_now() > end)
				return false;
			poll(&log, 1, 100);
		}
		/* Or some were lost, and the next one is the oldest that is left. */
	}
}

#define SYSLOG_ACTION_READ_ALL		3
#define SYSLOG_ACTION_SIZE_BUFFER	10

char *t1_kernel_log(int *size)
{
	int len = klogctl(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0);
	char *log = len > 0 ? malloc(len + 1) : NULL;

	*size = log ? klogctl(SYSLOG_ACTION_READ_ALL, log, len) : -1;
	if (*size >= 0) {
		log[*size] = 0;
		return log;
	}
	free(log);
	return NULL;
}

/* What VFIO, PCI and the IOMMU print in stock kernels for what is done here */
static const char * const known_lines[] = {
	"enabling device (",			/* PCI: a device is opened the first time */
	"Invalid PCI ROM header",		/* PCI: a ROM is read that is none, limited */
	"RLIMIT_MEMLOCK",			/* type1, limited */
	/* What has nothing to do with it: boot's end, and a busy host */
	"random: crng init done",
	"hrtimer: interrupt took",
	"clocksource: ",
	"tsc: ",
	"callbacks suppressed",			/* what is limited */
	"DMAR: ",				/* IOMMU: DMA to where nothing is mapped, limited */
	NULL
};

static bool known(const char *line)
{
	unsigned int i;

	for (i = 0; known_lines[i]; i++)
		if (strstr(line, known_lines[i]))
			return true;
	return false;
}

/* Where what was not in @before begins: after its last line, if that is still there */
static char *new_lines(char *after, const char *before)
{
	size_t size = strlen(before), tail = size < 200 ? size : 200;
	char *found = strstr(after, before + size - tail);

	return found ? found + tail : after;
}

/*
 * KCSAN finds races in all of the kernel, between two lines of "=". Those in VFIO
 * are for run_vm_tests.sh to judge, which knows its functions.
 */
static bool of_kcsan(const char *line, bool *inside)
{
	if (strstr(line, "BUG: KCSAN: "))
		*inside = true;
	else if (strstr(line, "=========="))
		*inside = false;
	else
		return *inside;
	return true;
}

int t1_check_log(const char *before)
{
	bool inside = false;
	char *line, *next, *log = NULL;
	int size, unknown = 0;

	if (before)
		log = t1_kernel_log(&size);
	if (!log)
		return -1;
	for (line = new_lines(log, before); line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (!*line || known(line) || of_kcsan(line, &inside))
			continue;
		if (unknown++ < 50)
			printf("# log: %s\n", line);
	}
	free(log);
	return unknown;
}
