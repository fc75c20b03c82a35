/* SPDX-License-Identifier: GPL-2.0-only */
/* Devices of the module vfio_test, and spaces that they reach under PASIDs */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_VTEST_H
#define SELFTESTS_VFIO_LIB_TYPE1_VTEST_H

#include "../modules/vfio_test.h"
#include "type1.h"

struct t1_vtest {
	int fd;
	struct t1_group *group;
};

#define T1_PASID_ARGSZ	(sizeof(struct vfio_device_feature) + \
			 sizeof(struct vfio_device_feature_pasid))
#define T1_VTEST_HINT	"no vfio-test device: type: modprobe vfio_test; chown $USER /dev/vfio/..."

/* Name of the @nth, or NULL */
const char *t1_vtest_find(unsigned int nth);
int t1_vtest_group(const char *name);
void t1_vtest_open(struct t1_vtest *dev, struct t1_container *c, const char *name);
void t1_vtest_close(struct t1_vtest *dev);
/* Its memory, which jobs copy to and from, from the start */
void *t1_vtest_mmap(struct t1_vtest *dev, size_t size);

/* VFIO_DEVICE_FEATURE_PASID of the device file @fd */
int __t1_pasid_feature(int fd, __u32 flags, __u32 argsz, struct vfio_device_feature_pasid *req);
/* @space: a file, or -1 */
int __t1_pasid_attach(struct t1_vtest *dev, __u32 pasid, int space);
void t1_pasid_attach(struct t1_vtest *dev, __u32 pasid, int space);
int __t1_pasid_detach(struct t1_vtest *dev, __u32 pasid);
/* The first from @pasid on that is attached, or 0 */
__u32 t1_pasid_next(struct t1_vtest *dev, __u32 pasid);
/* An address space: a container without groups, for t1_map() and so on, and for close */
int __t1_space_create(struct t1_container *c, struct t1_container *space);
void t1_space_create(struct t1_container *c, struct t1_container *space);

/* Jobs use the start of the memory. With @pasid 0 they are in the container. */
int __t1_job_start(struct t1_vtest *dev, __u32 pasid, __u32 command, __u64 iova, __u32 length);
/* VFIO_TEST_..., at once, or when it is another one */
int t1_job_status(struct t1_vtest *dev);
int t1_job_leaves(struct t1_vtest *dev, int status);
/* Both return what has become of it, VFIO_TEST_... */
int t1_job_wait(struct t1_vtest *dev);
int t1_job(struct t1_vtest *dev, __u32 pasid, __u32 command, __u64 iova, __u32 length);

#endif
