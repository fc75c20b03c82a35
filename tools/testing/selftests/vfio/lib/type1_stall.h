/* SPDX-License-Identifier: GPL-2.0-only */
/* A page whose first user, in kernel mode too, has to wait */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_STALL_H
#define SELFTESTS_VFIO_LIB_TYPE1_STALL_H

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

#include <linux/types.h>

#include "type1.h"

struct t1_stall {
	int uffd;
	void *page;
	size_t size;
};

#define T1_STALL_HINT	"no userfaultfd: sysctl vm.unprivileged_userfaultfd=1"

int __t1_stall_init(struct t1_stall *stall);
/* Until somebody waits for the page. */
void t1_stall_wait(struct t1_stall *stall);
/* Go on: the page begins with @data. */
void t1_stall_end(struct t1_stall *stall, const void *data, size_t size);
void t1_stall_destroy(struct t1_stall *stall);

/*
 * A container whose lock is held, by a thread whose ioctl waits for such a page.
 * MAP_DMA would not do: it does not wait for userfaultfd. Dirty tracking, which it
 * takes, stays on.
 */
struct t1_busy {
	struct t1_stall stall;
	struct t1_container *c;
	__u64 iova, size;	/* of a mapping */
	pthread_t thread;
};

int __t1_busy_begin(struct t1_busy *busy, struct t1_container *c, __u64 iova, __u64 size);
void t1_busy_end(struct t1_busy *busy);
/* Until a thread of this process, which stores its id in @tid, waits for a lock */
void t1_wait_blocked(const pid_t *tid);
/* Until the first thread of this process has ended, by another one */
void t1_wait_leader_gone(void);

#endif
