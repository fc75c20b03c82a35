// SPDX-License-Identifier: GPL-2.0-only
/*
 * The system goes to sleep and wakes up: there is no translation to device memory
 * meanwhile. Userspace sleeps as well, so the tracepoints have to tell.
 *
 * Needs root. Fails on stock 6.1, where the translation stays, and which has no
 * tracepoint.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_iommu.h"
#include "../lib/type1_pci.h"
#include "../lib/type1_rig.h"

#define SIZE	T1_RIG_SIZE
#define IOVA	0x2000000UL
#define REG	0x200	/* at 0x5000 in e1000e's BAR: keeps what is written */

/* How deep it sleeps, and for how many seconds */
#define PM_TEST		"/sys/power/pm_test"
#define PM_TEST_DELAY	"/sys/module/suspend/parameters/pm_test_delay"
#define PM_HINT		"run as root, with CONFIG_SUSPEND and CONFIG_PM_DEBUG"

FIXTURE(sleep) {
	struct t1_rig rig;
	struct t1_target target;
};

FIXTURE_SETUP(sleep)
{
	const char *edu = t1_require(T1_EDU, 0);
	const char *bdf = t1_find_multi(T1_E1000E, 1, 0);

	if (!bdf)
		T1_SKIP("no group with 1 of it: %s", t1_find_hint(T1_E1000E));
	if (t1_trace_start("vfio_peer"))
		T1_SKIP("no trace: run as root, with tracefs");
	if (access(PM_TEST, W_OK))
		T1_SKIP("no system sleep: " PM_HINT);
	/* The program's file may be behind a device that does not wake up. */
	ASSERT_EQ(0, mlockall(MCL_CURRENT));
	t1_rig_open(&self->rig, edu);
	t1_target_open(&self->target, bdf, 0, 0x5000);
	t1_map(&self->rig.c, self->target.mem, IOVA, SIZE, T1_RW);
	t1_trace_clear();
}

FIXTURE_TEARDOWN(sleep)
{
	t1_unmap(&self->rig.c, IOVA, SIZE);
	t1_target_close(&self->target);
	t1_rig_close(&self->rig);
}

static void go_to_sleep(void)
{
	t1_write_file(PM_TEST_DELAY, "1");
	t1_write_file(PM_TEST, "devices");
	t1_write_file("/sys/power/state", "freeze");
	t1_write_file(PM_TEST, "none");
}

static bool arrives(struct t1_rig *rig, struct t1_target *target)
{
	return t1_dma_arrives(rig, IOVA + REG, target->mem + REG / 4);
}

#define expect_events(want) do {					\
	char __got[32];							\
									\
	t1_trace_read(IOVA, __got, sizeof(__got));			\
	EXPECT_STREQ(want, __got);					\
} while (0)

TEST_F(sleep, on)
{
	go_to_sleep();
	expect_events("sr");
	EXPECT_TRUE(t1_rig_translates(&self->rig, IOVA));
	EXPECT_TRUE(arrives(&self->rig, &self->target));
}

/* What was off is off when the system wakes up. */
TEST_F(sleep, off)
{
	t1_set_memory(&self->target.dev, false);
	go_to_sleep();
	expect_events("s");
	EXPECT_FALSE(t1_rig_translates(&self->rig, IOVA));
	t1_set_memory(&self->target.dev, true);
	expect_events("sr");
	EXPECT_TRUE(arrives(&self->rig, &self->target));
}

TEST_HARNESS_MAIN
