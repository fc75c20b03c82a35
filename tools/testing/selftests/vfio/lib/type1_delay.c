// SPDX-License-Identifier: GPL-2.0-only
/*
 * One call overtakes another, which the vfio_test_delay module stops in a
 * function of the kernel. What is stopped has a CPU of its own, on which nothing
 * else would come to run. With a delay of 0 the module only tells whether a
 * function was called.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "type1.h"
#include "type1_delay.h"
#include "type1_file.h"

#define KPROBES	"/sys/kernel/debug/kprobes/list"
#define WORKERS	"/sys/devices/virtual/workqueue/cpumask"
/* What has to wait for the delayed call waits so long. What has not, ends the delay. */
#define DELAY_MS	2000
#define FREE_DELAY_MS	10000

#define FREE_CPU	0
#define DELAYED_CPU	1

bool t1_watch_usable(void)
{
	return !access(T1_RACE_DELAY, W_OK);
}

bool t1_race_usable(void)
{
	return t1_watch_usable() && sysconf(_SC_NPROCESSORS_ONLN) > DELAYED_CPU;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	T1_ASSERT(!sched_setaffinity(0, sizeof(set), &set));
}

/* Workers that have no CPU of their own; -1: on any */
static void run_workers_on(int cpu)
{
	char mask[32];

	snprintf(mask, sizeof(mask), "%lx",
		 cpu < 0 ? (1UL << sysconf(_SC_NPROCESSORS_ONLN)) - 1 : 1UL << cpu);
	t1_write_file(WORKERS, mask);
}

static void run_interrupts_on(const char *bdf, int number)
{
	char path[PATH_MAX], cpu[16];
	glob_t found;
	size_t i;

	snprintf(cpu, sizeof(cpu), "%d", number);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/msi_irqs/*", bdf);
	T1_ASSERT(!glob(path, 0, NULL, &found));
	for (i = 0; i < found.gl_pathc; i++) {
		snprintf(path, sizeof(path), "/proc/irq/%s/smp_affinity_list",
			 strrchr(found.gl_pathv[i], '/') + 1);
		t1_write_file(path, cpu);
	}
	globfree(&found);
}

void t1_race_free_interrupts(const char *bdf)
{
	run_interrupts_on(bdf, FREE_CPU);
}

void t1_race_delay_interrupts(const char *bdf)
{
	run_interrupts_on(bdf, DELAYED_CPU);
}

void t1_race_delay_thread(pid_t tid)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(DELAYED_CPU, &set);
	T1_ASSERT(!sched_setaffinity(tid, sizeof(set), &set));
}

static void pause_ms(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	nanosleep(&ms, NULL);
}

static bool find_line(const char *path, const char *word, const char *other)
{
	char line[256];
	bool found = false;
	FILE *file = fopen(path, "r");

	T1_ASSERT(file);
	while (!found && fgets(line, sizeof(line), file))
		found = strstr(line, word) && strstr(line, other);
	fclose(file);
	return found;
}

static int delay(const char *symbol, int ms, const char *caller)
{
	char text[300];

	snprintf(text, sizeof(text), "%s %d %s", symbol, ms, caller);
	return __t1_write_file(T1_RACE_DELAY, text);
}

static void delay_start(const char *symbol, int ms, const char *caller)
{
	int ret = delay(symbol, ms, caller), left = 300;

	/* With lockdep there is another one by that name */
	if (ret == -ENOENT && !strcmp(symbol, "mutex_lock"))
		ret = delay("mutex_lock_nested", ms, caller);
	T1_ASSERT_OK(ret);

	/* Until then interrupts are off, and the second call may wait for one */
	while (!find_line(KPROBES, symbol, "[OPTIMIZED]") &&
	       !find_line(KPROBES, symbol, "[FTRACE]") && left--)
		pause_ms();
}

bool t1_race_armed(void)
{
	return find_line(T1_RACE_DELAY, "armed", "");
}

void t1_watch_begin(const char *symbol, const char *caller)
{
	T1_ASSERT_OK(delay(symbol, 0, caller));
}

bool t1_watch_end(void)
{
	bool called = !t1_race_armed();

	t1_write_file(T1_RACE_DELAY, "\n");
	return called;
}

static void *call_first(void *arg)
{
	struct t1_race *race = arg;

	run_on(DELAYED_CPU);
	race->call(race->arg);
	return NULL;
}

static void begin(struct t1_race *race, int workers, int ms, const char *symbol,
		  const char *caller, void (*call)(void *arg), void *arg)
{
	int left = 30000;

	race->call = call;
	race->arg = arg;
	run_on(FREE_CPU);
	run_workers_on(workers);
	delay_start(symbol, ms, caller);
	T1_ASSERT(!pthread_create(&race->thread, NULL, call_first, race));
	while (t1_race_armed()) {
		/* Or nobody has come: the test does not test what it should. */
		T1_ASSERT(left--);
		pause_ms();
	}
}

void t1_race_begin(struct t1_race *race, const char *symbol, const char *caller,
		   void (*call)(void *arg), void *arg)
{
	begin(race, FREE_CPU, DELAY_MS, symbol, caller, call, arg);
}

void t1_race_begin_free(struct t1_race *race, const char *symbol, const char *caller,
			void (*call)(void *arg), void *arg)
{
	begin(race, FREE_CPU, FREE_DELAY_MS, symbol, caller, call, arg);
}

void t1_race_begin_work(struct t1_race *race, const char *symbol, void (*call)(void *arg),
			void *arg)
{
	begin(race, DELAYED_CPU, DELAY_MS, symbol, "", call, arg);
}

void t1_race_begin_free_work(struct t1_race *race, const char *symbol,
			     void (*call)(void *arg), void *arg)
{
	begin(race, DELAYED_CPU, FREE_DELAY_MS, symbol, "", call, arg);
}

bool t1_race_overtaken(void)
{
	return find_line(T1_RACE_DELAY, "waiting", "");
}

void t1_race_end(struct t1_race *race)
{
	t1_write_file(T1_RACE_DELAY, "\n");
	T1_ASSERT(!pthread_join(race->thread, NULL));
	run_workers_on(-1);
}

void t1_map_call(void *arg)
{
	struct t1_map_call *call = arg;

	t1_map(call->c, call->vaddr, call->iova, call->size, T1_RW);
}
