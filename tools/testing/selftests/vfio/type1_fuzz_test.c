// SPDX-License-Identifier: GPL-2.0-only
/*
 * All ioctls of containers, groups and devices, reads, writes and mappings of
 * memory, DMA, fork, exec and the exchange of files, in random order with random
 * arguments, edges above all. Several processes of two threads do that; now and then
 * one is killed. After each round of some seconds nothing may be left of it: a new
 * process gets every group, all mappings and all PASIDs. vmtest.sh looks for what
 * the kernel reports, this program for what else it prints.
 *
 *	type1_fuzz_test [-s seed] [-n steps] [-p process]
 *
 * VFIO_TEST_SEED and VFIO_TEST_SECONDS (20) do as well. A seed repeats what each
 * thread tries, step by step; -p lets one of the processes run alone. It does not
 * repeat the timing, nor what a step finds that depends on the other threads, nor
 * when a process is killed. With -n each thread ends after so many steps, in one
 * round without kills; otherwise the time ends it.
 *
 * A step that takes longer than a minute is taken for a hang.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest.h"

#include "lib/type1_fuzz.h"

#define SECOND		1000000000ULL
#define ROUND		(4 * SECOND)
#define HANG		(60 * SECOND)
#define LITTLE_MEMORY	(256UL << 10)

static struct {
	struct fuzz_shared *shared;
	__u64 seed, steps, seconds;
	int only;		/* this process, or FUZZ_ANY */
	pid_t anchor;		/* whose process group all are in */
	unsigned int kills, crashes, hangs, leaks;
	bool killing;		/* any of them may die of it */
	__u64 rng;
} run = { .steps = -1ULL, .only = FUZZ_ANY };

static unsigned int setting(const char *name, unsigned int value)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : value;
}

/* The last resort: the hang is in this process, or what it waits for. */
static void on_alarm(int sig)
{
	static const char text[] = "Bail out! the fuzzer itself hangs, see the seed above\n";

	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0 || run.anchor)
		kill(-run.anchor, SIGKILL);
	_exit(KSFT_FAIL);
}

static void show_stack(pid_t pid, pid_t tid)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stack", pid, tid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		printf("#   %s", line);
	if (f)
		fclose(f);
}

static void report_hang(unsigned int number, struct fuzz_thread *thread, __u64 time)
{
	printf("# hang: seed %llu, process %u, step %llu, %s for %llu s\n", run.seed, number,
	       thread->steps, fuzz_ops[thread->op].name, time / SECOND);
	show_stack(run.shared->procs[number].pid, thread->tid);
	run.hangs++;
}

static bool check_hangs(void)
{
	struct fuzz_thread *thread;
	unsigned int i, hangs = run.hangs;
	__u64 since, now = t1_now();

	for (i = 0; i < FUZZ_PROCS * FUZZ_THREADS; i++) {
		thread = &run.shared->procs[i / FUZZ_THREADS].threads[i % FUZZ_THREADS];
		since = __atomic_load_n(&thread->since, __ATOMIC_RELAXED);
		if (run.shared->procs[i / FUZZ_THREADS].pid > 0 && since && since + HANG < now)
			report_hang(i / FUZZ_THREADS, thread, now - since);
	}
	return run.hangs != hangs;
}

static void start_anchor(void)
{
	run.anchor = fork();
	T1_ASSERT(run.anchor >= 0);
	if (!run.anchor) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	T1_ASSERT(!setpgid(run.anchor, run.anchor));
}

static void start_worker(unsigned int number, __u64 stream)
{
	struct rlimit little = { LITTLE_MEMORY, LITTLE_MEMORY };
	struct fuzz_proc *proc = &run.shared->procs[number];
	pid_t pid;

	memset(proc, 0, sizeof(*proc));
	memset(proc->files, -1, sizeof(proc->files));
	proc->stream = stream;
	proc->limit = run.steps;
	pid = fork();
	T1_ASSERT(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, run.anchor);
		/* One of them meets the limit, unless it is root's. */
		if (number == FUZZ_WORKERS - 1)
			setrlimit(RLIMIT_MEMLOCK, &little);
		fuzz_process(run.shared, number);
	}
	proc->pid = pid;
	setpgid(pid, run.anchor);
}

static void reaped(pid_t pid, int status)
{
	unsigned int i;

	for (i = 0; i < FUZZ_PROCS; i++)
		if (run.shared->procs[i].pid == pid)
			run.shared->procs[i].pid = 0;
	/* Children kill themselves. */
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
		printf("# process %d died of signal %d\n", pid, WTERMSIG(status));
		run.crashes++;
	}
}

/* False: there are processes left. */
static bool reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		reaped(pid, status);
	return pid < 0 && errno == ECHILD;
}

static bool workers_done(void)
{
	unsigned int i;

	for (i = 0; i < FUZZ_WORKERS; i++)
		if (run.shared->procs[i].pid)
			return false;
	return true;
}

/* All threads have done their steps: they wait to be told to end. */
static bool steps_done(void)
{
	unsigned int i, j;

	for (i = 0; i < FUZZ_WORKERS; i++)
		for (j = 0; j < FUZZ_THREADS; j++)
			if (run.shared->procs[i].pid &&
			    run.shared->procs[i].threads[j].steps < run.shared->procs[i].limit)
				return false;
	return true;
}

static void kill_worker(__u64 stream)
{
	unsigned int number = fuzz_mix(run.rng++, 1) % FUZZ_WORKERS;
	struct fuzz_proc *proc = &run.shared->procs[number];
	__u64 end = t1_now() + HANG;
	pid_t pid = proc->pid;

	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	run.kills++;
	while (proc->pid == pid && t1_now() < end) {
		reap();
		usleep(1000);
	}
	if (proc->pid != pid)
		start_worker(number, fuzz_mix(stream, number));
}

static void make_sockets(void)
{
	int sockets[2];

	T1_ASSERT(!socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets));
	T1_ASSERT(dup2(sockets[0], FUZZ_FD_SEND) >= 0 && dup2(sockets[1], FUZZ_FD_RECEIVE) >= 0);
	close(sockets[0]);
	close(sockets[1]);
}

static void wait_for(bool (*done)(void), __u64 time)
{
	__u64 end = t1_now() + time;

	while (reap(), !done() && t1_now() < end && !run.hangs) {
		usleep(20000);
		check_hangs();
	}
}

static void end_round(bool kill_all)
{
	__u64 end;

	if (!kill_all) {
		__atomic_store_n(&run.shared->stop, true, __ATOMIC_RELAXED);
		wait_for(workers_done, HANG);
		run.leaks += run.shared->locked;
		if (!workers_done() && !run.hangs++)
			printf("# workers did not end\n");
	}
	kill(-run.anchor, SIGKILL);
	for (end = t1_now() + HANG; !reap() && t1_now() < end;)
		usleep(5000);
	if (!reap()) {
		printf("# processes survive SIGKILL\n");
		run.hangs++;
	}
	run.anchor = 0;
	/* What is on the way from one process to another goes with them. */
	close(FUZZ_FD_SEND);
	close(FUZZ_FD_RECEIVE);
}

static void do_round(unsigned int number)
{
	__u64 end = t1_now() + ROUND, stream = fuzz_mix(run.seed, number);
	unsigned int i, generation = 0;

	run.shared->stop = false;
	run.shared->closed = 0;
	run.shared->locked = 0;
	memset(run.shared->procs, 0, sizeof(run.shared->procs));
	make_sockets();
	start_anchor();
	for (i = 0; i < FUZZ_WORKERS; i++) {
		if (run.only == FUZZ_ANY || run.only == (int)i)
			start_worker(i, fuzz_mix(stream, i));
		else
			run.shared->closed++;
	}
	if (run.steps != -1ULL) {
		wait_for(steps_done, run.seconds * SECOND);
	} else {
		while (t1_now() < end && !run.hangs) {
			usleep(200000 + fuzz_mix(run.rng++, 2) % 600000);
			reap();
			check_hangs();
			if (t1_now() < end)
				kill_worker(fuzz_mix(stream, ++generation));
		}
	}
	end_round(run.steps == -1ULL && number % 2);
}

static __u64 operations(void)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < FUZZ_OPS * FUZZ_SKIPPED; i++)
		sum += run.shared->results[i / FUZZ_SKIPPED][i % FUZZ_SKIPPED];
	return sum;
}

/* Too short a time proves nothing, and neither does one process. */
static bool all_must_succeed(void)
{
	return run.steps == -1ULL && run.only == FUZZ_ANY && run.seconds >= 20;
}

/* On a machine that is very busy it takes longer until all have succeeded. */
static bool go_on(__u64 begin)
{
	__u64 time = (t1_now() - begin) / SECOND;

	if (time < run.seconds)
		return true;
	return all_must_succeed() && time < run.seconds + 60 && fuzz_never(run.shared, false);
}

static unsigned int do_rounds(void)
{
	__u64 begin = t1_now(), busy = 0;
	unsigned int number = 0, failed = 0;

	for (; go_on(begin) && !run.hangs; number++) {
		busy -= t1_now();
		do_round(number);
		busy += t1_now();
		if (run.hangs)
			break;
		failed += !fuzz_check_groups(run.shared, false);
		if (run.steps != -1ULL)
			break;
	}
	ksft_print_msg("%llu operations, %llu a second; %u rounds, %u kills, %llu s with checks\n",
		       operations(), operations() * SECOND / (busy ?: 1), number, run.kills,
		       (t1_now() - begin) / SECOND);
	return failed;
}

/* The memory that all share, at a number that stays free in all of them */
static void make_shared(void)
{
	pthread_mutexattr_t attr;
	int fd = memfd_create("shared", 0);

	T1_ASSERT(fd >= 0 && !ftruncate(fd, sizeof(*run.shared)));
	T1_ASSERT(dup2(fd, FUZZ_FD_SHARED) >= 0);
	close(fd);
	run.shared = fuzz_map_shared(FUZZ_FD_SHARED);
	run.shared->seed = run.seed;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&run.shared->edu, &attr);
}

static void after_exec(unsigned int number)
{
	struct fuzz_shared *shared = fuzz_map_shared(FUZZ_FD_SHARED);
	unsigned int op;

	for (op = 0; fuzz_ops[op].name; op++)
		if (!strcmp(fuzz_ops[op].name, "exec"))
			__atomic_fetch_add(&shared->results[op][0], 1, __ATOMIC_RELAXED);
	fuzz_drop_closed(&shared->procs[number]);
	fuzz_process(shared, number);
}

static void parse(int argc, char **argv)
{
	int opt;

	run.seed = setting("VFIO_TEST_SEED", time(NULL));
	run.seconds = setting("VFIO_TEST_SECONDS", 20);
	while ((opt = getopt(argc, argv, "s:n:p:x:")) != -1) {
		switch (opt) {
		case 's':
			run.seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			run.steps = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			run.only = atoi(optarg);
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
	if (!all_must_succeed())
		ksft_test_result_skip("every operation succeeds: takes 20 seconds\n");
	else
		ksft_test_result(!fuzz_never(run.shared, true), "every operation succeeds\n");
}

static void test_log(const char *before)
{
	int lines = fuzz_check_log(before);

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
	ksft_print_msg("seed %llu: type1_fuzz_test -s %llu\n", run.seed, run.seed);
	make_shared();
	if (!fuzz_find_devices(run.shared))
		ksft_exit_skip("no devices: %s\n", t1_find_hint(T1_EDU));
	ksft_set_plan(6);
	run.rng = run.seed;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGALRM, on_alarm);
	alarm(2 * run.seconds + 300);

	log = t1_kernel_log(&size);
	failed = do_rounds();
	fuzz_print_table(run.shared);
	ksft_test_result(!run.hangs, "nothing hangs\n");
	ksft_test_result(!run.crashes, "the fuzzer does not crash\n");
	ksft_test_result(!run.leaks, "no memory remains locked\n");
	if (!run.hangs)
		failed += !fuzz_check_groups(run.shared, true);
	ksft_test_result(!run.hangs && !failed, "a new process gets all there is\n");
	test_log(log);
	test_table();
	ksft_finished();
}
