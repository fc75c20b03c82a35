/* SPDX-License-Identifier: GPL-2.0-only */
/* What root can see; an int is -errno when it is not there */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_IOMMU_H
#define SELFTESTS_VFIO_LIB_TYPE1_IOMMU_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

/* Has the kernel this function, or was it inlined? */
bool t1_has_function(const char *name);
/* The IOMMU's tables; without, the next two end the test */
bool t1_tables_visible(void);
#define T1_TABLES_HINT	"no tables of the IOMMU: run as root, with CONFIG_INTEL_IOMMU_DEBUGFS"
/* Has the IOMMU an entry for @iova of the device? */
bool t1_translates(const char *bdf, __u64 iova);
/* Of how many pages? 0: it has none */
unsigned int t1_entry_pages(const char *bdf, __u64 iova);

/* Once for all tests of a program; it ends with that. Of the events of a @system. */
int t1_trace_start(const char *system);
void t1_trace_clear(void);
/* Is there an event, with @text in its line? */
bool t1_trace_has(const char *event, const char *text);
/* Events of peer memory at @iova: (m)ap, (s)uspend, (r)esume, revoke (x) */
void t1_trace_read(__u64 iova, char *events, size_t size);

#endif
