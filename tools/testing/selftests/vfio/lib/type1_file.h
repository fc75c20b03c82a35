/* SPDX-License-Identifier: GPL-2.0-only */
/* Files of text, settings in them, and settings of the environment */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_FILE_H
#define SELFTESTS_VFIO_LIB_TYPE1_FILE_H

#include <stddef.h>

/* A number from the environment, or @value */
unsigned int t1_setting(const char *name, unsigned int value);
/* What a file begins with: a setting, to be written back */
void t1_read_file(const char *path, char *text, size_t size);
int __t1_write_data(const char *path, const void *data, size_t size);
int __t1_write_file(const char *path, const char *text);
void t1_write_file(const char *path, const char *text);
long t1_read_key(const char *path, const char *key);

#endif
