/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Address spaces beside a container's own: what the core calls. See space.c.
 */
#ifndef VFIO_SPACE_H
#define VFIO_SPACE_H

#include <linux/err.h>
#include <linux/types.h>

struct seq_file;
struct vfio_backend;

#if IS_ENABLED(CONFIG_VFIO_PASID)
int vfio_space_check(unsigned long arg);
int vfio_space_create(struct vfio_backend *parent, unsigned int groups);
struct vfio_backend *vfio_space_get(struct vfio_backend *parent, int fd);
void vfio_spaces_init(struct vfio_backend *parent);
void vfio_spaces_kill(struct vfio_backend *parent);
void vfio_spaces_show(struct vfio_backend *parent, struct seq_file *m);
void vfio_space_left(struct vfio_backend *parent);
#else
static inline int vfio_space_check(unsigned long arg)
{
	return -ENOTTY;
}

static inline int vfio_space_create(struct vfio_backend *parent,
				    unsigned int groups)
{
	return -ENOTTY;
}

static inline struct vfio_backend *
vfio_space_get(struct vfio_backend *parent, int fd)
{
	return ERR_PTR(-ENOTTY);
}

static inline void vfio_spaces_init(struct vfio_backend *parent)
{
}

static inline void vfio_spaces_kill(struct vfio_backend *parent)
{
}

static inline void vfio_spaces_show(struct vfio_backend *parent,
				    struct seq_file *m)
{
}

static inline void vfio_space_left(struct vfio_backend *parent)
{
}
#endif

#endif
