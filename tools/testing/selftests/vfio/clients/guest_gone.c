// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that let an edu device write to the BAR of an ivshmem device without end
 * (guest_bare) was killed. Does what was under way still arrive, or what comes now? Take
 * both devices, each for a container of its own, look at the guest's counter for a while,
 * and let edu write to where the guest did. For nested_guest.sh and libvirt_guest.sh.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../lib/type1.h"
#include "../lib/type1_rig.h"

int main(int argc, char **argv)
{
	struct t1_target target;
	__u32 before, after;
	struct t1_rig rig;
	__u64 address;

	if (argc != 4) {
		fprintf(stderr, "usage: %s EDU IVSHMEM ADDRESS\n", argv[0]);
		return 1;
	}
	address = strtoull(argv[3], NULL, 0);
	/* Nothing but the IOMMU can stop edu. */
	t1_rig_open(&rig, argv[1]);
	t1_target_open(&target, argv[2], 2, T1_PAGE);

	before = __atomic_load_n(target.mem, __ATOMIC_ACQUIRE);
	/* A transfer takes edu 100 ms. */
	usleep(300000);
	after = __atomic_load_n(target.mem, __ATOMIC_ACQUIRE);
	if (!before)
		printf("never any\n");
	else if (before != after)
		printf("%u\n", after - before);
	else if (!address || t1_dma_arrives(&rig, address, target.mem))
		printf("what is written there\n");
	else
		printf("none\n");

	t1_target_close(&target);
	t1_rig_close(&rig);
	return 0;
}
