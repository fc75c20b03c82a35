// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of all operations, and processes whose threads draw from it.
 *
 * Each step has a random stream of its own, made of the seed, the process, the
 * thread and the number of the step. What a step finds, which depends on the other
 * threads, has no influence on what the next one tries.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/type1_bench.h"
#include "../lib/type1_touch.h"
#include "type1_fuzz.h"

struct fuzz_op fuzz_ops[FUZZ_OPS];
static unsigned int nr_ops, weights;

void fuzz_table_init(void)
{
	static const struct fuzz_op * const parts[] = {
		fuzz_file_ops, fuzz_send_ops, fuzz_container_ops, fuzz_device_ops,
		fuzz_pasid_ops, fuzz_region_ops, fuzz_memory_ops, fuzz_process_ops,
	};
	const struct fuzz_op *op;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		for (op = parts[i]; op->name; op++) {
			T1_ASSERT(nr_ops < FUZZ_OPS - 1);
			fuzz_ops[nr_ops++] = *op;
			weights += op->weight;
		}
	}
}

struct fuzz_shared *fuzz_map_shared(int fd)
{
	struct fuzz_shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					  MAP_SHARED, fd, 0);

	T1_ASSERT(shared != MAP_FAILED);
	return shared;
}

static void make_scratch(struct fuzz *f)
{
	int fd = memfd_create("scratch", MFD_CLOEXEC);
	void *ro;

	T1_ASSERT(fd >= 0 && !ftruncate(fd, FUZZ_SCRATCH));
	f->scratch = mmap(NULL, FUZZ_SCRATCH + T1_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	T1_ASSERT(f->scratch != MAP_FAILED);
	T1_ASSERT(mmap(f->scratch, FUZZ_SCRATCH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		       fd, 0) == f->scratch);
	ro = mmap(NULL, FUZZ_SCRATCH, PROT_READ, MAP_SHARED, fd, 0);
	T1_ASSERT(ro != MAP_FAILED);
	f->readonly = ro;
	close(fd);
}

void fuzz_thread_init(struct fuzz *f, struct fuzz_shared *shared, unsigned int number,
		      unsigned int thread)
{
	*f = (struct fuzz) {
		.shared = shared, .proc = &shared->procs[number],
		.number = number, .thread = thread,
	};
	make_scratch(f);
	f->proc->threads[thread] = (struct fuzz_thread) { .tid = syscall(SYS_gettid) };
}

static int choose_op(struct fuzz *f)
{
	unsigned int n = fuzz_below(f, weights);
	int op;

	for (op = 0; n >= fuzz_ops[op].weight; op++)
		n -= fuzz_ops[op].weight;
	return op;
}

static void count(struct fuzz *f, int op, __u64 time, int ret)
{
	unsigned int result = ret > 0 ? FUZZ_SKIPPED : -ret;

	if (result >= FUZZ_RESULTS)
		result = FUZZ_SKIPPED - 1;
	__atomic_fetch_add(&f->shared->results[op][result], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&f->shared->times[op], time, __ATOMIC_RELAXED);
}

void fuzz_thread_run(struct fuzz *f)
{
	struct fuzz_thread *thread = &f->proc->threads[f->thread];
	__u64 stream = fuzz_mix(f->proc->stream, f->thread);
	__u64 begin = t1_now(), end;
	int op, ret;

	while (thread->steps < f->proc->limit &&
	       !__atomic_load_n(&f->shared->stop, __ATOMIC_RELAXED)) {
		f->random = fuzz_mix(stream, thread->steps);
		op = choose_op(f);
		thread->op = op;
		__atomic_store_n(&thread->since, begin, __ATOMIC_RELAXED);
		ret = fuzz_ops[op].run(f);
		end = t1_now();
		count(f, op, end - begin, ret);
		begin = end;
		thread->steps++;
	}
	__atomic_store_n(&thread->since, 0, __ATOMIC_RELAXED);
}

static void *second_thread(void *arg)
{
	fuzz_thread_run(arg);
	return NULL;
}

/* A jump out of a read or write is for addresses without any memory as well. */
static void catch_signals(void)
{
	struct sigaction action;

	touch_init();
	T1_ASSERT(!sigaction(SIGBUS, NULL, &action) && !sigaction(SIGSEGV, &action, NULL));
}

/* All is closed by everybody, so no memory of this process is in use any more. */
static void finish(struct fuzz *f)
{
	struct fuzz_shared *shared = f->shared;
	unsigned int i;

	fuzz_close_all(f);
	munmap(FUZZ_AREA, FUZZ_AREA_SIZE);
	while (wait(NULL) > 0)
		;
	__atomic_fetch_add(&shared->closed, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 3000 && __atomic_load_n(&shared->closed, __ATOMIC_RELAXED) < FUZZ_WORKERS;
	     i++)
		usleep(10000);
	fuzz_drain();
	for (i = 0; i < 500; i++) {
		if (!t1_locked_kib())
			return;
		usleep(10000);
	}
	printf("# %llu KiB are locked, %u processes have closed all\n",
	       t1_locked_kib(), __atomic_load_n(&shared->closed, __ATOMIC_RELAXED));
	fflush(stdout);
	__atomic_fetch_add(&shared->locked, 1, __ATOMIC_RELAXED);
}

void fuzz_process(struct fuzz_shared *shared, unsigned int number)
{
	struct fuzz threads[FUZZ_THREADS];
	pthread_t second;

	shared->procs[number].pid = getpid();
	catch_signals();
	T1_ASSERT(mmap(FUZZ_AREA, FUZZ_AREA_SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == FUZZ_AREA);
	memset(shared->procs[number].area, 0, sizeof(shared->procs[number].area));
	fuzz_thread_init(&threads[0], shared, number, 0);
	fuzz_thread_init(&threads[1], shared, number, 1);
	if (threads[0].proc->warming)
		fuzz_warm_up(&threads[0]);
	T1_ASSERT(!pthread_create(&second, NULL, second_thread, &threads[1]));
	fuzz_thread_run(&threads[0]);
	pthread_join(second, NULL);
	if (number < FUZZ_WORKERS) {
		while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED))
			usleep(10000);
		finish(&threads[0]);
	}
	_exit(0);
}
