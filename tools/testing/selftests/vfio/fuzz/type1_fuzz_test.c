// SPDX-License-Identifier: GPL-2.0-only
/*
 * All ioctls of containers, groups and devices, reads, writes and mappings of
 * memory, DMA, fork, exec and the exchange of files, in random order with random
 * arguments, edges above all. Several processes of two threads do that; now and then
 * one is killed. After each round of some seconds nothing may be left of it: a new
 * process gets every group, all mappings and all PASIDs. vmtest.sh looks for what
 * the kernel reports, this program for what else it prints.
 *
 * An operation that never succeeds tests little. So each does it first in a state that
 * is made for it, however rare it is; and at random those that are frequent.
 *
 *	type1_fuzz_test [-s seed] [-n steps] [-p process]
 *
 * VFIO_TEST_SEED and VFIO_TEST_SECONDS (20) do as well. A seed repeats what each
 * thread tries, step by step; -p lets one of the processes run alone. It does not
 * repeat the timing, nor what a step finds that depends on the other threads, nor
 * the very step at which a process is killed. With -n each thread ends after so many steps, in one
 * round without kills; otherwise the time ends it.
 *
 * A step that takes longer than a minute is taken for a hang.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "../../kselftest.h"

#include "../lib/type1_bench.h"
#include "../lib/type1_file.h"
#include "../lib/type1_log.h"
#include "type1_fuzz.h"

static __u64 seconds;

/* The last resort: the hang is in this process, or what it waits for. */
static void on_alarm(int sig)
{
	static const char text[] = "Bail out! the fuzzer itself hangs, see the seed above\n";

	if (fuzz_run.anchor)
		kill(-fuzz_run.anchor, SIGKILL);
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) > 0)
		_exit(KSFT_FAIL);
	abort();
}

static __u64 operations(void)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < FUZZ_OPS * FUZZ_SKIPPED; i++)
		sum += fuzz_run.shared->results[i / FUZZ_SKIPPED][i % FUZZ_SKIPPED];
	return sum;
}

/* Too short a time proves nothing, and neither does one process. */
static bool all_must_succeed(void)
{
	return fuzz_run.steps == -1ULL && fuzz_run.only == FUZZ_ANY && seconds >= 20;
}

/* On a machine that is very busy it takes longer until the frequent ones have succeeded. */
static bool go_on(__u64 begin)
{
	__u64 time = (t1_now() - begin) / FUZZ_SECOND;

	if (time < seconds)
		return true;
	return all_must_succeed() && time < seconds + 240 && fuzz_never(fuzz_run.shared, false);
}

static unsigned int do_rounds(void)
{
	__u64 begin = t1_now(), busy = 0;
	unsigned int number = 0, failed = 0;

	for (; go_on(begin) && !fuzz_run.hangs; number++) {
		busy -= t1_now();
		fuzz_round(number, seconds * FUZZ_SECOND);
		busy += t1_now();
		if (fuzz_run.hangs)
			break;
		failed += !fuzz_check_groups(fuzz_run.shared, false);
		if (fuzz_run.steps != -1ULL)
			break;
	}
	ksft_print_msg("%llu operations, %llu a second; %u rounds, %u kills, %llu s with checks\n",
		       operations(), operations() * FUZZ_SECOND / (busy ?: 1), number,
		       fuzz_run.kills, (t1_now() - begin) / FUZZ_SECOND);
	return failed;
}

/* The memory that all share, at a number that stays free in all of them */
static void make_shared(void)
{
	pthread_mutexattr_t attr;
	int fd = memfd_create("shared", 0);

	T1_ASSERT(fd >= 0 && !ftruncate(fd, sizeof(*fuzz_run.shared)));
	T1_ASSERT(dup2(fd, FUZZ_FD_SHARED) >= 0);
	close(fd);
	fuzz_run.shared = fuzz_map_shared(FUZZ_FD_SHARED);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&fuzz_run.shared->edu, &attr);
}

static void after_exec(unsigned int number)
{
	struct fuzz_shared *shared = fuzz_map_shared(FUZZ_FD_SHARED);
	unsigned int op;

	for (op = 0; fuzz_ops[op].name; op++) {
		if (strcmp(fuzz_ops[op].name, "exec"))
			continue;
		if (shared->procs[number].limit)
			__atomic_fetch_add(&shared->results[op][0], 1, __ATOMIC_RELAXED);
		else
			shared->warm[op] = true;
	}
	fuzz_drop_closed(&shared->procs[number]);
	fuzz_process(shared, number);
}

static void parse(int argc, char **argv)
{
	int opt;

	fuzz_run.steps = -1ULL;
	fuzz_run.only = FUZZ_ANY;
	fuzz_run.seed = t1_setting("VFIO_TEST_SEED", time(NULL));
	seconds = t1_setting("VFIO_TEST_SECONDS", 20);
	while ((opt = getopt(argc, argv, "s:n:p:x:")) != -1) {
		switch (opt) {
		case 's':
			fuzz_run.seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			fuzz_run.steps = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			fuzz_run.only = atoi(optarg);
			break;
		case 'x': /* for op_exec() */
			after_exec(atoi(optarg));
			break;
		default:
			ksft_exit_fail_msg("usage: %s [-s seed] [-n steps] [-p process]\n",
					   argv[0]);
		}
	}
}

static void test_table(void)
{
	bool never;

	if (!all_must_succeed()) {
		ksft_test_result_skip("every operation succeeds: takes 20 seconds\n");
		return;
	}
	never = fuzz_never_warm(fuzz_run.shared);
	never |= fuzz_never(fuzz_run.shared, true);
	ksft_test_result(!never, "every operation succeeds\n");
}

static void test_log(const char *before)
{
	int lines = t1_check_log(before);

	if (lines < 0)
		ksft_test_result_skip("log: only root may read it\n");
	else
		ksft_test_result(!lines, "the log has nothing new\n");
}

int main(int argc, char **argv)
{
	unsigned int failed;
	char *log;
	int size;

	setbuf(stdout, NULL);
	fuzz_table_init();
	parse(argc, argv);
	ksft_print_header();
	ksft_print_msg("seed %llu: type1_fuzz_test -s %llu\n", fuzz_run.seed, fuzz_run.seed);
	make_shared();
	if (!fuzz_find_devices(fuzz_run.shared))
		ksft_exit_skip("no devices: %s\n", t1_find_hint(T1_EDU));
	ksft_set_plan(6);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGALRM, on_alarm);
	/* Some time to warm up, to go on, to check, and to find what hangs */
	alarm(seconds + 560);

	log = t1_kernel_log(&size);
	if (all_must_succeed())
		fuzz_warm_round();
	failed = do_rounds();
	fuzz_print_table(fuzz_run.shared);
	ksft_test_result(!fuzz_run.hangs, "nothing hangs\n");
	ksft_test_result(!fuzz_run.crashes, "the fuzzer does not crash\n");
	ksft_test_result(!fuzz_run.leaks, "no memory remains locked\n");
	if (!fuzz_run.hangs)
		failed += !fuzz_check_groups(fuzz_run.shared, true);
	ksft_test_result(!fuzz_run.hangs && !failed, "a new process gets all there is\n");
	test_log(log);
	test_table();
	ksft_finished();
}
