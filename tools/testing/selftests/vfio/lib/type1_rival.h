/* SPDX-License-Identifier: GPL-2.0-only */
/* Processes that try to get the PASIDs of others, all the time */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_RIVAL_H
#define SELFTESTS_VFIO_LIB_TYPE1_RIVAL_H

#include "type1.h"

#define T1_RIVALS	4

struct t1_rivals {
	int fd;
	struct t1_rivals_page *page;	/* shared by all that have the file */
	pid_t pids[T1_RIVALS];
};

void t1_rivals_open(struct t1_rivals *rivals);
/* In a program that was given the file */
void t1_rivals_attach(struct t1_rivals *rivals, int fd);
/* One that has a container's file, or a device's, or both; the other is -1. Passed: nothing else */
void t1_rival_fork(struct t1_rivals *rivals, int container, int device, bool passed);
/* One will come that was not forked here: it calls t1_rival_run(). */
void t1_rivals_expect(struct t1_rivals *rivals);
void t1_rival_run(struct t1_rivals *rivals, int container, int device);
/* Let them begin, if they have not, and wait until each has tried all it can. */
void t1_rivals_meet(struct t1_rivals *rivals);
/* Before the container is there for anybody */
void t1_rivals_stop(struct t1_rivals *rivals);
/* By who forked them; returns what one of them was not refused, or "". */
const char *t1_rivals_end(struct t1_rivals *rivals);

#endif
