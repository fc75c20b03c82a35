/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface of vfio_test.c for programs. For tests only: it may change with
 * them.
 */
#ifndef VFIO_TEST_H
#define VFIO_TEST_H

#include <linux/types.h>

/* Regions. The high bits of an offset in the device's file are the region. */
#define VFIO_TEST_REGION_REGS	0	/* read and write a whole vfio_test_job */
#define VFIO_TEST_REGION_MEM	1	/* only mmap; may be a target of DMA */
#define VFIO_TEST_NUM_REGIONS	2
#define VFIO_TEST_OFFSET_SHIFT	40

#define VFIO_TEST_MEM_SIZE	0x10000
#define VFIO_TEST_MAX_LENGTH	0x1000
#define VFIO_TEST_MAX_PINS	16

/**
 * struct vfio_test_job - an access of the device
 * @pasid: PASID of a READ or WRITE; otherwise, and without one, 0
 * @command: VFIO_TEST_READ and so on
 * @iova: IOVA, in the address space of the PASID or the container's own
 * @offset: offset in the memory region; READ and WRITE only, otherwise 0
 * @length: bytes, at most VFIO_TEST_MAX_LENGTH; one page unless READ or WRITE
 * @status: result; 0 in a write
 * @__reserved: 0
 *
 * A write starts the job. It fails with -EBUSY while the job before is not
 * done, and with -EINVAL if the job is not valid. A read returns the job with
 * its status.
 */
struct vfio_test_job {
	__u32 pasid;
	__u32 command;
#define VFIO_TEST_READ		1	/* from user memory into the region */
#define VFIO_TEST_WRITE		2	/* the other way */
#define VFIO_TEST_PIN		3	/* until UNPIN, unmap, reset or close */
#define VFIO_TEST_UNPIN		4
#define VFIO_TEST_HOLD		5	/* PIN, but as if pinned again after each unmap */
	__aligned_u64 iova;
	__u32 offset;
	__u32 length;
	__u32 status;
#define VFIO_TEST_DONE		0
#define VFIO_TEST_QUEUED	1
#define VFIO_TEST_RUNNING	2	/* under way */
#define VFIO_TEST_NO_PASID	3	/* the PASID is not attached */
#define VFIO_TEST_NO_MEMORY	4	/* no such memory, or a timeout */
#define VFIO_TEST_NO_PIN	5	/* all pins are in use; UNPIN: no such pin */
	__u32 __reserved;
};

#endif
