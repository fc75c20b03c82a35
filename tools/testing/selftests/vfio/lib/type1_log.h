/* SPDX-License-Identifier: GPL-2.0-only */
/* The log of the kernel */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_LOG_H
#define SELFTESTS_VFIO_LIB_TYPE1_LOG_H

#include <stdbool.h>

/* The log, to be freed, with a 0 at its end; NULL for those who may not read it */
char *t1_kernel_log(int *size);
/* How many lines after @before that VFIO must not print; -1: nobody can tell */
int t1_check_log(const char *before);
/* From now on, until there is a line with @text or @ms are over */
void t1_log_begin(void);
bool t1_log_wait(const char *text, unsigned int ms);

#endif
