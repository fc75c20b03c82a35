/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Device memory as a target of DMA: what a VFIO bus driver has to call.
 *
 * Containers may map the memory of a device for the DMA of other devices (its
 * peers), and of its own. A driver whose device can turn its memory off makes
 * each such change one cycle:
 *
 *	vfio_peers_lock()
 *	vfio_peers_suspend()	no IOMMU translates to the device from here on
 *	...			the change, under the driver's own lock
 *	vfio_peers_resume()	only if memory is on now
 *	vfio_peers_unlock()
 *
 * and calls vfio_peers_resume() in ->open_device() if memory is on. A driver
 * whose memory is always on calls none of these.
 */
#ifndef LINUX_VFIO_PEER_H
#define LINUX_VFIO_PEER_H

#include <linux/types.h>

struct vfio_device;

void vfio_peers_lock(struct vfio_device *device);
void vfio_peers_lock_nested(struct vfio_device *device);
bool vfio_peers_trylock(struct vfio_device *device);
void vfio_peers_unlock(struct vfio_device *device);
void vfio_peers_suspend(struct vfio_device *device);
void vfio_peers_resume(struct vfio_device *device);

#endif
