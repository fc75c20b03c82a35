/* SPDX-License-Identifier: GPL-2.0-only */
/* PASIDs */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_PASID_H
#define SELFTESTS_VFIO_LIB_TYPE1_PASID_H

#include "type1.h"

/* The PASID, or -errno */
int __t1_pasid_alloc(struct t1_container *c, __u32 min, __u32 max);
__u32 t1_pasid_alloc(struct t1_container *c, __u32 min, __u32 max);
/* As many as there are, by quota or by range; returns how many. */
unsigned int t1_pasid_alloc_all(struct t1_container *c, __u32 min, __u32 max);
/* How many were freed, or -errno */
int __t1_pasid_free(struct t1_container *c, __u32 min, __u32 max);
struct vfio_iommu_type1_info_cap_pasid t1_pasid_info(struct t1_container *c);
/* The module's parameter; to set it takes root. */
unsigned int t1_pasids_per_group(void);
int __t1_pasids_per_group_set(unsigned int value);
/*
 * After an owner's death: until the container has none, as fdinfo tells, for nobody is to
 * ask for anything. Returns how many are left, when there is no hope any more.
 */
long t1_pasids_left(struct t1_container *c);
/* The PASID, as soon as neither a number nor a container is somebody else's; or -errno */
int t1_pasid_alloc_soon(struct t1_container *c, __u32 min, __u32 max);

#endif
