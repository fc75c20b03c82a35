// SPDX-License-Identifier: GPL-2.0-only
/* Let allocations fail, one at a time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "type1.h"

/* Open all the time, for to open it would take what shall fail. */
static int fail_fd = -1;

int __t1_fail_setup(void)
{
	static const struct {
		const char *file, *text;
	} settings[] = {
		/* Those that may sleep as well, and each without a line in the log */
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/cache-filter", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/verbose", "0" },
		{ "fail_page_alloc/min-order", "0" },
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
	fail_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return fail_fd < 0 ? -errno : 0;
}

void t1_fail_nth(unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	T1_ASSERT(pwrite(fail_fd, text, len, 0) == len);
}

unsigned int t1_fail_spare(void)
{
	char text[16] = "";

	T1_ASSERT(pread(fail_fd, text, sizeof(text) - 1, 0) > 0);
	t1_fail_nth(0);
	return atoi(text);
}

bool t1_failed(void)
{
	return !t1_fail_spare();
}
