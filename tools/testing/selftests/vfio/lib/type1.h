/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The user space side of VFIO's type1 backend, for the tests next door: containers,
 * groups, DMA, and the ways a test ends. Other parts of the library have a header each.
 *
 * Calls come in pairs: one with "__" in front returns 0 or -errno, so that a test
 * can ask for the very error; the other ends the test when the call fails.
 */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_H
#define SELFTESTS_VFIO_LIB_TYPE1_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <linux/types.h>

#include "../../../../vfio/uapi.h"

/* Seconds that a test may take. The harness has 30, which a busy host does not. */
#ifdef TEST_TIMEOUT_DEFAULT
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	200
#endif

#define T1_MAX_GROUPS	8
#define T1_BDF_LEN	16

#define T1_RW		(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define T1_PAGE		4096UL

struct t1_group {
	int id;
	int fd;
	int users;	/* open devices; 0: the slot is free */
};

struct t1_container {
	int fd;
	struct t1_group groups[T1_MAX_GROUPS];
};

int __t1_container_open(struct t1_container *c);
void t1_container_open(struct t1_container *c);
void t1_container_close(struct t1_container *c);

/* A group is opened with the first of its devices, and closed with the last. */
int __t1_group_get(struct t1_container *c, int id, struct t1_group **group);
void t1_group_put(struct t1_group *group);

int __t1_map(struct t1_container *c, void *vaddr, __u64 iova, __u64 size, __u32 flags);
void t1_map(struct t1_container *c, void *vaddr, __u64 iova, __u64 size, __u32 flags);
/* @unmapped may be NULL; otherwise it gets the number of bytes unmapped. */
int __t1_unmap(struct t1_container *c, __u64 iova, __u64 size, __u64 *unmapped);
void t1_unmap(struct t1_container *c, __u64 iova, __u64 size);
int __t1_unmap_all(struct t1_container *c, __u64 *unmapped);
/* With the @bitmap of 64 pages of that size */
int __t1_unmap_dirty(struct t1_container *c, __u64 iova, __u64 size, __u64 pgsize, __u64 *bitmap,
		     __u64 *unmapped);
/* VFIO_IOMMU_DIRTY_PAGES; the range and its @bitmap of 64 pages are for GET_BITMAP */
int __t1_dirty_pages(struct t1_container *c, __u32 flags, __u64 iova, __u64 size, __u64 *bitmap);
/* The same two with @bitmap_size bytes, of pages of T1_PAGE */
int __t1_unmap_bitmap(struct t1_container *c, __u64 iova, __u64 size, void *bitmap,
		      __u64 bitmap_size, __u64 *unmapped);
int __t1_get_bitmap(struct t1_container *c, __u64 iova, __u64 size, void *bitmap,
		    __u64 bitmap_size);
/* A capability of VFIO_IOMMU_GET_INFO, in @buf; NULL when there is none such. */
struct vfio_info_cap_header *t1_info_cap(struct t1_container *c, __u16 id, void *buf, size_t size);
/* How many more mappings the container takes */
unsigned int t1_dma_avail(struct t1_container *c);
/* The number after @key in the container's fdinfo, -1 when there is none */
long t1_told(struct t1_container *c, const char *key);
/* Locked memory of this process, in KiB */
__u64 t1_locked_kib(void);

void t1_fail(const char *file, int line, const char *what, int error);

/* For library and child processes, where the harness' ASSERT_* have no home. */
#define T1_ASSERT(cond) do {						\
	if (!(cond))							\
		t1_fail(__FILE__, __LINE__, #cond, 0);			\
} while (0)

/* @call: an expression with 0 or -errno as its result */
#define T1_ASSERT_OK(call) do {						\
	int __error = (call);						\
									\
	if (__error)							\
		t1_fail(__FILE__, __LINE__, #call, -__error);		\
} while (0)

/*
 * In a FIXTURE_SETUP: skip the test. Harnesses before 6.10 run the test body in
 * spite of a SKIP in the setup, so leave the process with what they take for a skip.
 */
#ifdef FIXTURE_TEARDOWN_PARENT
#define T1_SKIP_STATUS KSFT_SKIP
#else
#define T1_SKIP_STATUS 255
#endif

#define T1_SKIP(fmt, ...) SKIP(_exit(T1_SKIP_STATUS), fmt, ##__VA_ARGS__)

/* In a test: run @statements in a child, which must come to an end without a failure. */
#define T1_IN_CHILD(statements) do {					\
	int __status;							\
	pid_t __pid = fork();						\
									\
	if (!__pid) {							\
		statements;						\
		_exit(0);						\
	}								\
	ASSERT_EQ(__pid, waitpid(__pid, &__status, 0));			\
	EXPECT_EQ(0, __status);						\
} while (0)

#endif
