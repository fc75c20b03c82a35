// SPDX-License-Identifier: GPL-2.0-only
/* Processes that fork and exec. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "type1_fuzz.h"

static struct fuzz_proc *take_slot(struct fuzz_shared *shared)
{
	struct fuzz_proc *proc;
	pid_t pid;

	for (proc = shared->procs + FUZZ_WORKERS; proc < shared->procs + FUZZ_PROCS; proc++) {
		pid = 0;
		if (__atomic_compare_exchange_n(&proc->pid, &pid, -1, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return proc;
	}
	return NULL;
}

/* Some steps with what the parent has, and then the end, in one way or another */
static void child(struct fuzz *f, struct fuzz_proc *proc)
{
	struct fuzz_shared *shared = f->shared;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	proc->pid = getpid();
	fuzz_thread_init(f, shared, proc - shared->procs, 0);
	fuzz_thread_run(f);
	switch (fuzz_mix(proc->stream, proc->limit) % 3) {
	case 0:
		raise(SIGKILL);
		break;
	case 1:
		fuzz_close_all(f);
		break;
	}
	_exit(0);
}

static int op_fork(struct fuzz *f)
{
	struct fuzz_proc *proc;
	struct fuzz mine = { };
	pid_t pid;

	proc = f->number < FUZZ_WORKERS ? take_slot(f->shared) : NULL;
	if (!proc)
		return 1;
	proc->stream = fuzz_u64(f);
	proc->limit = 20 + fuzz_below(f, 300);
	memset(proc->threads, 0, sizeof(proc->threads));
	memcpy(proc->files, f->proc->files, sizeof(proc->files));
	memcpy(proc->area, f->proc->area, sizeof(proc->area));
	mine.shared = f->shared;
	pid = fork();
	if (!pid)
		child(&mine, proc);
	if (pid < 0) {
		__atomic_store_n(&proc->pid, 0, __ATOMIC_RELAXED);
		return -errno;
	}
	return 0;
}

static int op_wait(struct fuzz *f)
{
	struct fuzz_proc *proc;
	pid_t pid = waitpid(-1, NULL, WNOHANG);

	if (pid <= 0)
		return pid ? -errno : -EAGAIN;
	for (proc = f->shared->procs + FUZZ_WORKERS; proc < f->shared->procs + FUZZ_PROCS; proc++) {
		__atomic_compare_exchange_n(&proc->pid, &pid, 0, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
	}
	return 0;
}

/* Only a failure returns here: the new program counts the success. */
static int op_exec(struct fuzz *f)
{
	struct fuzz_thread *thread = &f->proc->threads[f->thread];
	char number[16];

	f->proc->stream = fuzz_u64(f);
	if (f->proc->limit != -1ULL)
		f->proc->limit -= thread->steps < f->proc->limit ? thread->steps : f->proc->limit;
	snprintf(number, sizeof(number), "%u", f->number);
	execl("/proc/self/exe", "type1_fuzz_test", "-x", number, NULL);
	return -errno;
}

const struct fuzz_op fuzz_process_ops[] = {
	{ "fork", 2, op_fork, FUZZ_ANY },
	{ "wait", 6, op_wait, FUZZ_ANY },
	{ "exec", 1, op_exec, FUZZ_ANY },
	{ }
};
