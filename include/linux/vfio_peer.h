/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Device memory as a target of DMA: what a VFIO bus driver has to call.
 *
 * Containers may map the memory of a device for the DMA of other devices (its
 * peers), and of its own. They can reach it while no reason stands against it.
 * A driver whose device can turn its memory off, or lose it in a reset, blocks
 * it before and unblocks it after; each reason counts once, whoever sets it.
 * A driver whose memory is always on calls none of these.
 */
#ifndef LINUX_VFIO_PEER_H
#define LINUX_VFIO_PEER_H

#include <linux/bits.h>
#include <linux/types.h>

struct vfio_device;

#define VFIO_PEER_OFF	BIT(0)	/* by the device's user, or being changed by him */
#define VFIO_PEER_RESET	BIT(1)	/* a reset is under way, whoever asked for it */
#define VFIO_PEER_RECOVERY	BIT(2)	/* from an error, by a reset perhaps */
#define VFIO_PEER_ERROR	BIT(3)	/* what recovery may have lost is not back yet */
#define VFIO_PEER_PF	BIT(4)	/* the PF of this VF is being reset */
#define VFIO_PEER_PF_RECOVERY BIT(5) /* it recovers from an error */

void vfio_peers_block(struct vfio_device *device, unsigned int reason);
void vfio_peers_unblock(struct vfio_device *device, unsigned int reason);
bool vfio_peers_blocked(struct vfio_device *device, unsigned int reason);

#endif
