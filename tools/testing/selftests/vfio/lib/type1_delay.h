/* SPDX-License-Identifier: GPL-2.0-only */
/* A call that is delayed in the kernel, and overtaken by another; for root */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_DELAY_H
#define SELFTESTS_VFIO_LIB_TYPE1_DELAY_H

#include <pthread.h>
#include <stdbool.h>

#include <linux/types.h>

#include "type1.h"

struct t1_race {
	pthread_t thread;
	void (*call)(void *arg);
	void *arg;
};

#define T1_RACE_HINT \
	"two CPUs, and the module vfio_test_delay: type, as root: modprobe vfio_test_delay"

#define T1_RACE_DELAY	"/sys/module/vfio_test_delay/parameters/delay"

bool t1_race_usable(void);
/* Has nobody come to where the delay is? */
bool t1_race_armed(void);
/*
 * Call it in a thread, and return when this has entered the function @symbol from
 * @caller ("": from any). There it waits for two seconds at most, as what the test
 * does meanwhile has to wait for it.
 */
void t1_race_begin(struct t1_race *race, const char *symbol, const char *caller,
		   void (*call)(void *arg), void *arg);
/*
 * The same where that has not to wait: up to ten seconds, for it can take long when
 * machines run side by side.
 */
void t1_race_begin_free(struct t1_race *race, const char *symbol, const char *caller,
			void (*call)(void *arg), void *arg);
/* The same for functions that a worker calls, as a consequence. */
void t1_race_begin_work(struct t1_race *race, const char *symbol, void (*call)(void *arg),
			void *arg);
void t1_race_begin_free_work(struct t1_race *race, const char *symbol,
			     void (*call)(void *arg), void *arg);
/*
 * Keep interrupts of a function from where calls are delayed: their threads as well,
 * once each has run again.
 */
void t1_race_free_interrupts(const char *bdf);
/* Or to there, when it is such a thread that is to be delayed */
void t1_race_delay_interrupts(const char *bdf);
/* The same for a thread of the kernel */
void t1_race_delay_thread(pid_t tid);
/* Does it wait still? If not, who asks has waited for it. */
bool t1_race_overtaken(void);
/* Let it go on, until the call returns. */
void t1_race_end(struct t1_race *race);

/* A call for t1_race_begin(): t1_map() of a struct t1_map_call */
struct t1_map_call {
	struct t1_container *c;
	void *vaddr;
	__u64 iova, size;
};

void t1_map_call(void *arg);

#define T1_WATCH_HINT	"the module vfio_test_delay: type, as root: modprobe vfio_test_delay"

/* Was the function @symbol called, by anybody from @caller, between begin and end? */
bool t1_watch_usable(void);
void t1_watch_begin(const char *symbol, const char *caller);
bool t1_watch_end(void);

#endif
