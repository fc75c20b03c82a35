// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "type1.h"
#include "type1_file.h"

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
