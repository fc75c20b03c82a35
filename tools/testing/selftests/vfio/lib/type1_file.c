// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#include "type1.h"

unsigned int t1_setting(const char *name, unsigned int value)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : value;
}

void t1_read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, size - 1);

	T1_ASSERT(len >= 0);
	text[len] = 0;
	close(fd);
}

int __t1_write_data(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, data, size) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

int __t1_write_file(const char *path, const char *text)
{
	return __t1_write_data(path, text, strlen(text));
}

void t1_write_file(const char *path, const char *text)
{
	T1_ASSERT_OK(__t1_write_file(path, text));
}

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

/* The number behind @key in a file of lines "key number" */
long t1_read_key(const char *path, const char *key)
{
	long value = -1, number;
	char word[64];
	FILE *file = fopen(path, "r");

	T1_ASSERT(file);
	while (fscanf(file, "%63s %ld%*[^\n]", word, &number) == 2) {
		if (!strcmp(word, key))
			value = number;
	}
	fclose(file);
	return value;
}
