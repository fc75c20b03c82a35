/* SPDX-License-Identifier: GPL-2.0-only */
/* PASIDs in the misc cgroup controller: charged to the cgroup that allocates */
#ifndef PASID_CGROUP_H
#define PASID_CGROUP_H

#include <linux/err.h>
#include <linux/misc_cgroup.h>

#ifdef CONFIG_CGROUP_MISC_PASID

static inline void pasid_cgroup_set_capacity(unsigned long capacity)
{
	misc_cg_set_capacity(MISC_CG_RES_PASID, capacity);
}

/* The caller's cgroup with a reference, for pasid_cgroup_uncharge() */
static inline struct misc_cg *pasid_cgroup_charge(void)
{
	struct misc_cg *cg = get_current_misc_cg();

	if (!misc_cg_try_charge(MISC_CG_RES_PASID, cg, 1))
		return cg;

	put_misc_cg(cg);
	return ERR_PTR(-EDQUOT);
}

static inline void pasid_cgroup_uncharge(struct misc_cg *cg)
{
	misc_cg_uncharge(MISC_CG_RES_PASID, cg, 1);
	put_misc_cg(cg);
}

#else

static inline void pasid_cgroup_set_capacity(unsigned long capacity) { }
static inline struct misc_cg *pasid_cgroup_charge(void) { return NULL; }
static inline void pasid_cgroup_uncharge(struct misc_cg *cg) { }

#endif /* CONFIG_CGROUP_MISC_PASID */

#endif
