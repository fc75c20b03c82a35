/* SPDX-License-Identifier: GPL-2.0-only */
/* Figures */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_BENCH_H
#define SELFTESTS_VFIO_LIB_TYPE1_BENCH_H

#include <linux/types.h>

/* Nanoseconds since some moment */
__u64 t1_now(void);
/* A line of what a benchmark prints; scripts/bench makes medians of them. */
void t1_sample(const char *name, __u64 number);

#endif
