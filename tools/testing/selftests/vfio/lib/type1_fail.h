/* SPDX-License-Identifier: GPL-2.0-only */
/* Allocations that fail */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_FAIL_H
#define SELFTESTS_VFIO_LIB_TYPE1_FAIL_H

#include <stdbool.h>
#include <sys/types.h>

#define T1_MAX_NTH	400
#define T1_FAIL_HINT	"no fault injection: run as root, set CONFIG_FAIL_FUNCTION and so on"

int __t1_fail_setup(void);
/* From now on, the @nth allocation of this thread fails; 0: none. */
void t1_fail_nth(unsigned int nth);
/* Or of another thread */
void t1_fail_nth_of(pid_t tid, unsigned int nth);
/* And all after it, unless they are whole pages. */
void t1_fail_from(unsigned int nth);
/* How many more would have gone well? From now on, none fails. */
unsigned int t1_fail_spare(void);
/* Has one failed? From now on, none does. */
bool t1_failed(void);

/* Memory from slabs may fail, or whole pages; both, once more, for the next test */
void t1_fail_kinds(bool slabs, bool pages);
/* A function with ALLOW_ERROR_INJECTION() fails with ENOMEM when it is called next. NULL: none */
void t1_fail_function(const char *name);
bool t1_function_failed(void);

/* Each @nth of a loop fails its allocation, until there is none left. */
#define t1_for_each_failure(nth, more)					\
	for ((nth) = 1, (more) = true; (more) && (nth) < T1_MAX_NTH; (nth)++)

#endif
