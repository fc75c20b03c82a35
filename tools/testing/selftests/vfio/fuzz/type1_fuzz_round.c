// SPDX-License-Identifier: GPL-2.0-only
/*
 * A round: processes are started, killed, started again, and end, all of them by a
 * signal or in good order.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/type1_bench.h"
#include "type1_fuzz.h"

#define ROUND		(5 * FUZZ_SECOND)
#define HANG		(60 * FUZZ_SECOND)
#define LITTLE_MEMORY	(256UL << 10)

struct fuzz_run fuzz_run;

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
	printf("# hang: seed %llu, process %u, step %llu, %s for %llu s\n", fuzz_run.seed, number,
	       thread->steps, fuzz_ops[thread->op].name, time / FUZZ_SECOND);
	show_stack(fuzz_run.shared->procs[number].pid, thread->tid);
	fuzz_run.hangs++;
}

static bool check_hangs(void)
{
	struct fuzz_thread *thread;
	unsigned int i, hangs = fuzz_run.hangs;
	__u64 since, now = t1_now();

	for (i = 0; i < FUZZ_PROCS * FUZZ_THREADS; i++) {
		thread = &fuzz_run.shared->procs[i / FUZZ_THREADS].threads[i % FUZZ_THREADS];
		since = __atomic_load_n(&thread->since, __ATOMIC_RELAXED);
		if (fuzz_run.shared->procs[i / FUZZ_THREADS].pid > 0 && since && since + HANG < now)
			report_hang(i / FUZZ_THREADS, thread, now - since);
	}
	return fuzz_run.hangs != hangs;
}

static void start_anchor(void)
{
	fuzz_run.anchor = fork();
	T1_ASSERT(fuzz_run.anchor >= 0);
	if (!fuzz_run.anchor) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	T1_ASSERT(!setpgid(fuzz_run.anchor, fuzz_run.anchor));
}

static void start_worker(unsigned int number, __u64 stream, bool warming)
{
	struct rlimit little = { LITTLE_MEMORY, LITTLE_MEMORY };
	struct fuzz_proc *proc = &fuzz_run.shared->procs[number];
	pid_t pid;

	memset(proc, 0, sizeof(*proc));
	memset(proc->files, -1, sizeof(proc->files));
	proc->stream = stream;
	proc->limit = warming ? 0 : fuzz_run.steps;
	proc->warming = warming;
	pid = fork();
	T1_ASSERT(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, fuzz_run.anchor);
		/* One of them meets the limit, unless it is root's. */
		if (number == FUZZ_WORKERS - 1)
			setrlimit(RLIMIT_MEMLOCK, &little);
		fuzz_process(fuzz_run.shared, number);
	}
	proc->pid = pid;
	setpgid(pid, fuzz_run.anchor);
}

static void reaped(pid_t pid, int status)
{
	unsigned int i;

	for (i = 0; i < FUZZ_PROCS; i++)
		if (fuzz_run.shared->procs[i].pid == pid)
			fuzz_run.shared->procs[i].pid = 0;
	/* Children kill themselves. */
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
		printf("# process %d died of signal %d\n", pid, WTERMSIG(status));
		fuzz_run.crashes++;
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
		if (fuzz_run.shared->procs[i].pid)
			return false;
	return true;
}

/* All threads have done their steps: they wait to be told to end. */
static bool steps_done(void)
{
	struct fuzz_proc *proc;
	unsigned int i;

	for (proc = fuzz_run.shared->procs; proc < fuzz_run.shared->procs + FUZZ_WORKERS; proc++)
		for (i = 0; i < FUZZ_THREADS; i++)
			if (proc->pid && proc->threads[i].steps < proc->limit)
				return false;
	return true;
}

/* After so many steps, about; since an exec, if it did that */
static bool kill_due(struct fuzz_proc *proc)
{
	return proc->pid > 0 && proc->threads[0].steps >= 100 + proc->stream % 1024;
}

static void kill_worker(unsigned int number)
{
	struct fuzz_proc *proc = &fuzz_run.shared->procs[number];
	__u64 end = t1_now() + HANG, stream = fuzz_mix(proc->stream, number);
	pid_t pid = proc->pid;

	kill(pid, SIGKILL);
	fuzz_run.kills++;
	while (proc->pid == pid && t1_now() < end) {
		reap();
		usleep(1000);
	}
	if (proc->pid != pid)
		start_worker(number, stream, false);
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

	while (reap(), !done() && t1_now() < end && !fuzz_run.hangs) {
		usleep(20000);
		check_hangs();
	}
}

static void end_round(bool kill_all)
{
	__u64 end;

	if (!kill_all) {
		__atomic_store_n(&fuzz_run.shared->stop, true, __ATOMIC_RELAXED);
		wait_for(workers_done, HANG);
		fuzz_run.leaks += fuzz_run.shared->locked;
		if (!workers_done() && !fuzz_run.hangs++)
			printf("# workers did not end\n");
	}
	kill(-fuzz_run.anchor, SIGKILL);
	for (end = t1_now() + HANG; !reap() && t1_now() < end;)
		usleep(5000);
	if (!reap()) {
		printf("# processes survive SIGKILL\n");
		fuzz_run.hangs++;
	}
	fuzz_run.anchor = 0;
	/* What is on the way from one process to another goes with them. */
	close(FUZZ_FD_SEND);
	close(FUZZ_FD_RECEIVE);
}

static void begin_round(void)
{
	fuzz_run.shared->stop = false;
	fuzz_run.shared->closed = 0;
	fuzz_run.shared->locked = 0;
	memset(fuzz_run.shared->procs, 0, sizeof(fuzz_run.shared->procs));
	make_sockets();
	start_anchor();
}

static bool warm(void)
{
	struct fuzz_proc *proc = &fuzz_run.shared->procs[0];

	return !__atomic_load_n(&proc->pid, __ATOMIC_RELAXED) ||
	       !__atomic_load_n(&proc->warming, __ATOMIC_RELAXED);
}

/* One process; the others count as if they had closed all. */
void fuzz_warm_round(void)
{
	begin_round();
	fuzz_run.shared->closed = FUZZ_WORKERS - 1;
	start_worker(0, fuzz_mix(fuzz_run.seed, -1ULL), true);
	wait_for(warm, 2 * HANG);
	end_round(false);
	printf("# in states made for them, operations took %u tries\n", fuzz_run.shared->tries);
}

void fuzz_round(unsigned int number, __u64 time)
{
	__u64 end = t1_now() + ROUND, stream = fuzz_mix(fuzz_run.seed, number);
	unsigned int i;

	begin_round();
	for (i = 0; i < FUZZ_WORKERS; i++) {
		if (fuzz_run.only == FUZZ_ANY || fuzz_run.only == (int)i)
			start_worker(i, fuzz_mix(stream, i), false);
		else
			fuzz_run.shared->closed++;
	}
	if (fuzz_run.steps != -1ULL) {
		wait_for(steps_done, time);
	} else {
		while (t1_now() < end && !fuzz_run.hangs) {
			usleep(20000);
			reap();
			check_hangs();
			for (i = 0; i < FUZZ_WORKERS; i++)
				if (kill_due(&fuzz_run.shared->procs[i]))
					kill_worker(i);
		}
	}
	end_round(fuzz_run.steps == -1ULL && number % 2);
}
