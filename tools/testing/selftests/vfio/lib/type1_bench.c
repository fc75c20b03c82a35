// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <time.h>

#include "type1.h"
#include "type1_bench.h"

__u64 t1_now(void)
{
	struct timespec ts;

	T1_ASSERT(!clock_gettime(CLOCK_MONOTONIC, &ts));
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

void t1_sample(const char *name, __u64 number)
{
	printf("%s %llu\n", name, number);
}
