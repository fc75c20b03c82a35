/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that may go away */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_TOUCH_H
#define SELFTESTS_VFIO_LIB_TYPE1_TOUCH_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

/* Catch SIGBUS, in every thread and in children; other uses of it still kill. */
void touch_init(void);
/* False: the access raised SIGBUS. */
bool touch_read(const void *addr, __u32 *value);
bool touch_write(void *addr, __u32 value);
/* Minor faults that a read took, 0 when the page was mapped; -1: SIGBUS. */
long touch_faults(const void *addr);
/* Write @value, see it through the same address. */
bool touch_works(void *addr, __u32 value);

/* Fault a whole range in, so that only a zap can make it fault again. */
void touch_all(const void *addr, size_t size);
/*
 * In a child, until it is alone: do what the parent asks for at @addr. Who asks gets
 * what touch_faults() returns, or -2 where touch_works() fails afterwards.
 */
void touch_serve(int sock, void *addr);
long touch_ask(int sock);

#endif
