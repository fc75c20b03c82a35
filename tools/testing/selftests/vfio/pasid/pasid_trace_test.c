// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an administrator sees of PASIDs by tracepoints: who gets which, what fails
 * and why, what is reclaimed, and when a number is free again.
 *
 * Needs root, who may trace.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_iommu.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_vtest.h"

FIXTURE(trace) {
	struct t1_container c;
	struct t1_vtest dev;
	const char *name;
};

FIXTURE_SETUP(trace)
{
	int ret;

	self->name = t1_vtest_find(0);
	if (!self->name)
		T1_SKIP("%s", T1_VTEST_HINT);
	ret = t1_trace_start("pasid_pool") ?: t1_trace_start("vfio_pasid");
	if (ret)
		T1_SKIP("no trace: %s: run as root, with tracefs", strerror(-ret));
	t1_container_open(&self->c);
	t1_vtest_open(&self->dev, &self->c, self->name);
	t1_trace_clear();
}

FIXTURE_TEARDOWN(trace)
{
	t1_vtest_close(&self->dev);
	t1_container_close(&self->c);
}

TEST_F(trace, alloc_and_free)
{
	t1_pasid_alloc(&self->c, 5, 5);
	EXPECT_TRUE(t1_trace_has("pasid_alloc", " min=5 max=5 ret=5\n"));
	EXPECT_EQ(-ENOSPC, __t1_pasid_alloc(&self->c, 5, 5));
	EXPECT_TRUE(t1_trace_has("pasid_alloc", " min=5 max=5 ret=-28\n"));

	EXPECT_FALSE(t1_trace_has("pasid_release", " pasid=5\n"));
	EXPECT_EQ(1, __t1_pasid_free(&self->c, 5, 9));
	EXPECT_TRUE(t1_trace_has("pasid_free", " min=5 max=9 ret=1\n"));
	EXPECT_TRUE(t1_trace_has("pasid_release", " pasid=5\n"));
	EXPECT_EQ(-ENOENT, __t1_pasid_free(&self->c, 5, 9));
	EXPECT_TRUE(t1_trace_has("pasid_free", " min=5 max=9 ret=-2\n"));
}

/* Nobody asks for it: the group leaves the container. */
TEST_F(trace, reclaim)
{
	t1_pasid_alloc(&self->c, 5, 5);
	t1_pasid_alloc(&self->c, 6, 6);
	t1_vtest_close(&self->dev);
	EXPECT_TRUE(t1_trace_has("pasid_reclaim", " count=2\n"));
	EXPECT_TRUE(t1_trace_has("pasid_release", " pasid=5\n"));
	EXPECT_TRUE(t1_trace_has("pasid_release", " pasid=6\n"));
	t1_vtest_open(&self->dev, &self->c, self->name);
}

TEST_F(trace, attach)
{
	char line[128];

	t1_pasid_alloc(&self->c, 5, 5);
	t1_pasid_attach(&self->dev, 5, -1);
	snprintf(line, sizeof(line), " %s pasid=5 space=-1 ret=0\n", self->name);
	EXPECT_TRUE(t1_trace_has("vfio_pasid_attach", line));
	EXPECT_EQ(-ENOENT, __t1_pasid_attach(&self->dev, 6, -1));
	snprintf(line, sizeof(line), " %s pasid=6 space=-1 ret=-2\n", self->name);
	EXPECT_TRUE(t1_trace_has("vfio_pasid_attach", line));

	snprintf(line, sizeof(line), " %s pasid=5\n", self->name);
	EXPECT_FALSE(t1_trace_has("vfio_pasid_detach", line));
	EXPECT_EQ(0, __t1_pasid_detach(&self->dev, 5));
	EXPECT_TRUE(t1_trace_has("vfio_pasid_detach", line));
}

TEST_HARNESS_MAIN
