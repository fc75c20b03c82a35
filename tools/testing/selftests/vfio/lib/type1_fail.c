// SPDX-License-Identifier: GPL-2.0-only
/*
 * Let allocations fail, one at a time. If the environment has T1_FAIL_TRACE, the
 * kernel tells where each did, and a line of the output has a return address of its
 * stack: what the tests reach can be compared with what the kernel allocates.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "type1.h"
#include "type1_fail.h"
#include "type1_file.h"

/* Open all the time, for to open them would take what shall fail. */
static int fail_fd = -1, all_fd = -1;
/*
 * Where the kernel tells it, with a stack: the log, but not with __GFP_NOWARN, and the
 * trace. Whole pages have no trace event of a failure, so a probe makes one.
 */
static FILE *logs[2];

#define FUNCTION	"/sys/kernel/debug/fail_function/"
#define TRACING	"/sys/kernel/debug/tracing/"
#define TRACE	TRACING "instances/fail_nth/"
#define PAGES	TRACE "events/kprobes/fail_nth_pages/"
#define PROBE	"r:kprobes/fail_nth_pages should_fail_alloc_page failed=$retval:u8"

static int trace_setup(void)
{
	static const struct {
		const char *file, *text;
	} settings[] = {
		{ "/sys/kernel/debug/failslab/verbose", "2" },
		{ "/sys/kernel/debug/failslab/verbose_ratelimit_interval_ms", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "2" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose_ratelimit_interval_ms", "0" },
		{ TRACE "options/stacktrace", "1" },
		{ TRACE "options/sym-offset", "1" },
		{ TRACE "events/kmem/kmalloc/filter", "ptr == 0" },
		{ TRACE "events/kmem/kmalloc/enable", "1" },
		{ TRACE "events/kmem/kmem_cache_alloc/filter", "ptr == 0" },
		{ TRACE "events/kmem/kmem_cache_alloc/enable", "1" },
		{ PAGES "filter", "failed != 0" },
		{ PAGES "enable", "1" },
		{ }
	};
	unsigned int i;
	int ret;

	if (access(PAGES, F_OK)) {
		ret = __t1_write_file(TRACING "kprobe_events", PROBE);
		if (ret)
			return ret;
	}
	if (mkdir(TRACE, 0700) && errno != EEXIST)
		return -errno;
	for (i = 0; settings[i].file; i++) {
		ret = __t1_write_file(settings[i].file, settings[i].text);
		if (ret)
			return ret;
	}
	ret = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	lseek(ret, 0, SEEK_END);
	logs[0] = fdopen(ret, "r");
	logs[1] = fdopen(open(TRACE "trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC), "r");
	return logs[0] && logs[1] ? 0 : -errno;
}

/*
 * "6,12,34,-; function+0x12/0x34 [module]" in the log, where a question mark would
 * tell a guess, and " => function+0x12/0x34 [module]" in the trace
 */
static void trace_failed(FILE *log)
{
	char *line = NULL, name[128];
	unsigned int offset;
	size_t size = 0;

	while (getline(&line, &size, log) > 0) {
		if (sscanf(line, "%*[0-9,-]; %127[^+ ?]+%x/", name, &offset) == 2 ||
		    sscanf(line, " => %127[^+ ]+%x/", name, &offset) == 2)
			printf("# failed in %s+0x%x\n", name, offset);
	}
	clearerr(log);
	free(line);
}

int __t1_fail_setup(void)
{
	static const struct {
		const char *file, *text;
	} settings[] = {
		/* Those that may sleep as well, and each without a line in the log */
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/cache-filter", "N" },
		{ "failslab/verbose", "0" },
		/* All of a task's, when it says so in its make-it-fail */
		{ "failslab/task-filter", "Y" },
		{ "failslab/probability", "100" },
		{ "failslab/times", "-1" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/verbose", "0" },
		{ "fail_page_alloc/min-order", "0" },
		/* Any task's, and once */
		{ "fail_function/verbose", "0" },
		{ "fail_function/probability", "100" },
		{ }
	};
	char path[96];
	unsigned int i;
	int ret;

	for (i = 0; settings[i].file; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", settings[i].file);
		ret = __t1_write_file(path, settings[i].text);
		if (ret)
			return ret;
	}
	if (getenv("T1_FAIL_TRACE")) {
		ret = trace_setup();
		if (ret)
			return ret;
	}
	fail_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	all_fd = open("/proc/thread-self/make-it-fail", O_WRONLY | O_CLOEXEC);
	return fail_fd < 0 || all_fd < 0 ? -errno : 0;
}

void t1_fail_nth(unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	T1_ASSERT(pwrite(fail_fd, text, len, 0) == len);
}

void t1_fail_nth_of(pid_t tid, unsigned int nth)
{
	char path[64], text[16];

	snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", tid);
	snprintf(text, sizeof(text), "%u", nth);
	t1_write_file(path, text);
}

void t1_fail_from(unsigned int nth)
{
	t1_fail_nth(nth);
	T1_ASSERT(pwrite(all_fd, "1", 1, 0) == 1);
}

unsigned int t1_fail_spare(void)
{
	char text[16] = "";
	int error = errno;

	T1_ASSERT(pwrite(all_fd, "0", 1, 0) == 1);
	T1_ASSERT(pread(fail_fd, text, sizeof(text) - 1, 0) > 0);
	t1_fail_nth(0);
	if (logs[0]) {
		trace_failed(logs[0]);
		trace_failed(logs[1]);
		fflush(stdout);
		/* The caller is about to look at it. */
		errno = error;
	}
	return atoi(text);
}

bool t1_failed(void)
{
	return !t1_fail_spare();
}

void t1_fail_kinds(bool slabs, bool pages)
{
	t1_write_file("/sys/kernel/debug/failslab/cache-filter", slabs ? "N" : "Y");
	t1_write_file("/sys/kernel/debug/fail_page_alloc/min-order", pages ? "0" : "20");
}

void t1_fail_function(const char *name)
{
	char path[128];

	t1_write_file(FUNCTION "inject", "\n");
	if (!name)
		return;
	t1_write_file(FUNCTION "inject", name);
	snprintf(path, sizeof(path), FUNCTION "%s/retval", name);
	t1_write_file(path, "0xfffffffffffffff4");
	t1_write_file(FUNCTION "times", "1");
}

bool t1_function_failed(void)
{
	char left[8] = "";
	FILE *file = fopen(FUNCTION "times", "r");

	T1_ASSERT(file);
	T1_ASSERT(fgets(left, sizeof(left), file));
	fclose(file);
	return !atoi(left);
}
