/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of type1_fuzz_test have in common: random numbers, the files and
 * the memory of a process, and how a call is made of them.
 *
 * Threads of a process use its files and memory with no lock, so a file may be
 * closed, or its number be another file, while a call is under way. All that is
 * done to a file has to be safe for each device; see type1_fuzz_region.c.
 */
#ifndef SELFTESTS_VFIO_TYPE1_FUZZ_H
#define SELFTESTS_VFIO_TYPE1_FUZZ_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "../lib/type1.h"
#include "../lib/type1_find.h"

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#endif

#define FUZZ_WORKERS	3
#define FUZZ_PROCS	8	/* with the children of workers */
#define FUZZ_THREADS	2
#define FUZZ_FDS	8	/* of a kind */
#define FUZZ_DEVICES	16
#define FUZZ_OPS	96
#define FUZZ_RESULTS	136	/* 0, errnos, and that there was nothing to do */
#define FUZZ_SKIPPED	(FUZZ_RESULTS - 1)
#define FUZZ_RANGES	8
#define FUZZ_ANY	-1
#define FUZZ_SECOND	1000000000ULL
#define FUZZ_VTEST	T1_KINDS	/* a kind of device after those of type1_find.c */

/* The process' memory for all kinds of mappings; far below what mmap() chooses */
#define FUZZ_AREA	((char *)0x200000000000UL)
#define FUZZ_SLOTS	64
#define FUZZ_SLOT	(16 * T1_PAGE)
#define FUZZ_AREA_SIZE	(FUZZ_SLOTS * FUZZ_SLOT)
#define FUZZ_SCRATCH	0x10000UL

/* File descriptors that all processes have, beyond those that they open */
#define FUZZ_FD_SHARED	1000
#define FUZZ_FD_SEND	1001
#define FUZZ_FD_RECEIVE	1002

enum fuzz_file {
	FUZZ_CONTAINER,
	FUZZ_GROUP,
	FUZZ_DEVICE,
	FUZZ_EVENTFD,
	FUZZ_SPACE,
	FUZZ_FILES
};

struct fuzz_device {
	char name[32];
	int group;
	int kind;
	int pm, exp;	/* capabilities */
	bool slow;	/* to close: a reset of the bus */
};

struct fuzz_thread {
	pid_t tid;
	int op;		/* under way */
	__u64 since;	/* t1_now() */
	__u64 steps;
};

struct fuzz_range {
	__u64 iova, size;
};

struct fuzz_proc {
	pid_t pid;		/* 0: the slot is free */
	__u64 stream;
	__u64 limit;		/* steps of each thread */
	bool warming;		/* does each operation once, and no steps */
	int files[FUZZ_FILES][FUZZ_FDS];	/* fd | device << 16, or -1 */
	struct fuzz_range mapped[FUZZ_RANGES];	/* some of what was, last */
	int area[FUZZ_SLOTS];	/* what was mapped there: 1 + kind of device; 0: RAM */
	struct fuzz_thread threads[FUZZ_THREADS];
};

/* Shared by all processes, those after an exec as well */
struct fuzz_shared {
	bool stop;		/* all close what they have */
	unsigned int closed;	/* workers that have */
	unsigned int locked;	/* workers whose memory remained locked */
	unsigned int devices;
	struct fuzz_device device[FUZZ_DEVICES];
	struct fuzz_proc procs[FUZZ_PROCS];
	bool warm[FUZZ_OPS];	/* has succeeded in a state made for it */
	unsigned int tries;	/* that this took */
	__u64 results[FUZZ_OPS][FUZZ_RESULTS];
	__u64 times[FUZZ_OPS];	/* ns */
	pthread_mutex_t edu;	/* serialises the registers of edu's DMA engines */
};

/* A thread */
struct fuzz {
	struct fuzz_shared *shared;
	struct fuzz_proc *proc;
	unsigned int number;	/* of the process */
	unsigned int thread;
	__u64 random;
	char *scratch;		/* then a page that is not there */
	const char *readonly;	/* the same memory */
};

struct fuzz_op {
	const char *name;
	unsigned int weight;
	/* 0 or -errno; 1: there was nothing to do it with */
	int (*run)(struct fuzz *f);
	int kind;	/* of device that it cannot succeed without, or FUZZ_ANY */
	const char *unable;	/* why it need not succeed */
};

/* type1_fuzz.c */
__u64 fuzz_mix(__u64 a, __u64 b);
__u64 fuzz_u64(struct fuzz *f);
unsigned int fuzz_below(struct fuzz *f, unsigned int n);
bool fuzz_one_in(struct fuzz *f, unsigned int n);
__u64 fuzz_edge(struct fuzz *f);
/* @value, or now and then something odd */
__u64 fuzz_or_edge(struct fuzz *f, __u64 value);
/* IOVAs, as a rule those of a mapping; the other, as a rule where there is none */
struct fuzz_range fuzz_mapped(struct fuzz *f);
struct fuzz_range fuzz_range(struct fuzz *f);
/* As a rule one of the process' own */
__u32 fuzz_pasid(struct fuzz *f);
/* An address in the area */
char *fuzz_address(struct fuzz *f);
/* For an argument: valid memory as a rule */
void *fuzz_pointer(struct fuzz *f);
void fuzz_mutate(struct fuzz *f, void *arg, size_t size);
/* The call with a copy of @arg, which gets the result */
int fuzz_ioctl(struct fuzz *f, int fd, unsigned long cmd, void *arg, size_t size);
/* The same with a file of a kind, and @arg changed at random */
int fuzz_call(struct fuzz *f, enum fuzz_file kind, unsigned long cmd, void *arg, size_t size);

/* type1_fuzz_file.c: the files of a process */
int fuzz_file(struct fuzz *f, enum fuzz_file kind, int *dev);
/* A device of a kind */
int fuzz_device(struct fuzz *f, int kind, int *dev);
int fuzz_group_file(struct fuzz *f, int group);
/* Returns 0, or -errno if @fd is -1 */
int fuzz_keep(struct fuzz *f, enum fuzz_file kind, int fd, int dev);
void fuzz_close_all(struct fuzz *f);
void fuzz_drop_closed(struct fuzz_proc *proc);

/* type1_fuzz_device.c: VFIO_DEVICE_FEATURE with @size bytes of @data, of a kind of device */
int fuzz_feature(struct fuzz *f, int kind, __u32 flags, const void *data, size_t size);
/* type1_fuzz_send.c: close what is on its way */
void fuzz_drain(void);

extern const struct fuzz_op fuzz_file_ops[];
extern const struct fuzz_op fuzz_send_ops[];
extern const struct fuzz_op fuzz_container_ops[];
extern const struct fuzz_op fuzz_device_ops[];
extern const struct fuzz_op fuzz_pasid_ops[];
extern const struct fuzz_op fuzz_region_ops[];
extern const struct fuzz_op fuzz_memory_ops[];
extern const struct fuzz_op fuzz_process_ops[];

/* type1_fuzz_run.c: the table of all, and processes that draw from it */
extern struct fuzz_op fuzz_ops[FUZZ_OPS];
void fuzz_table_init(void);
struct fuzz_shared *fuzz_map_shared(int fd);
/* Does not return */
void fuzz_process(struct fuzz_shared *shared, unsigned int number);
void fuzz_thread_run(struct fuzz *f);
void fuzz_thread_init(struct fuzz *f, struct fuzz_shared *shared, unsigned int number,
		      unsigned int thread);

/* type1_fuzz_round.c: what the first process does */
struct fuzz_run {
	struct fuzz_shared *shared;
	__u64 seed;
	__u64 steps;		/* of each thread, in one round without kills; -1: by time */
	int only;		/* this process, or FUZZ_ANY */
	pid_t anchor;		/* leader of the others' process group */
	unsigned int kills, crashes, hangs, leaks;
};

extern struct fuzz_run fuzz_run;

void fuzz_round(unsigned int number, __u64 time);
/* Before the first round */
void fuzz_warm_round(void);

/* type1_fuzz_warm.c: each operation once, in a process of its own */
void fuzz_warm_up(struct fuzz *f);

/* type1_fuzz_check.c: what has to be so when all is closed */
bool fuzz_find_devices(struct fuzz_shared *shared);
bool fuzz_check_groups(struct fuzz_shared *shared, bool all);
void fuzz_print_table(struct fuzz_shared *shared);
/* Are the devices there that this operation takes, and nothing else against it? */
bool fuzz_must_succeed(struct fuzz_shared *shared, unsigned int op);
/* How many operations did not succeed in a state made for it */
unsigned int fuzz_never_warm(struct fuzz_shared *shared);
/* How many of those that are frequent never succeeded at random */
unsigned int fuzz_never(struct fuzz_shared *shared, bool print);

#endif
