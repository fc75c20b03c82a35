/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Device memory as a target of DMA: calls for a VFIO bus driver.
 *
 * Containers may map the memory of a device for the DMA of other devices (its
 * peers), and of its own. They can reach it while there is no reason to block
 * it. If the device can turn its memory off, or lose it in a reset, its driver
 * blocks the memory before and unblocks it after. Each reason counts once,
 * however often it is set. A driver whose memory is always on makes none of
 * these calls.
 */
#ifndef LINUX_VFIO_PEER_H
#define LINUX_VFIO_PEER_H

#include <linux/bits.h>
#include <linux/types.h>

struct vfio_device;

#define VFIO_PEER_OFF	BIT(0)	/* off, or changing, by the device's user */
#define VFIO_PEER_RESET	BIT(1)	/* a reset is under way */
#define VFIO_PEER_RECOVERY	BIT(2)	/* from an error, by a reset perhaps */
#define VFIO_PEER_ERROR	BIT(3)	/* BARs that recovery may have lost */
#define VFIO_PEER_PF	BIT(4)	/* the PF of this VF is being reset */
#define VFIO_PEER_PF_RECOVERY BIT(5) /* the PF recovers from an error */

void vfio_peers_block(struct vfio_device *device, unsigned int reason);
void vfio_peers_unblock(struct vfio_device *device, unsigned int reason);
bool vfio_peers_blocked(struct vfio_device *device, unsigned int reason);

#endif
