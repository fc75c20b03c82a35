// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that let an edu device write to the BAR of an ivshmem device without end
 * (guest_bare) was killed. Does what was under way still arrive? Take both devices,
 * each for a container of its own, and look at the guest's counter for a while. For
 * nested_guest.sh and libvirt_guest.sh.
 */
#include <stdio.h>
#include <unistd.h>

#include "lib/type1.h"

int main(int argc, char **argv)
{
	struct t1_container container;
	struct t1_target target;
	struct t1_device edu;
	__u32 before, after;

	if (argc != 3) {
		fprintf(stderr, "usage: %s EDU IVSHMEM\n", argv[0]);
		return 1;
	}
	t1_container_open(&container);
	t1_device_open(&edu, &container, argv[1]);
	/* Let nothing but the IOMMU stop it. */
	t1_set_command(&edu, PCI_COMMAND_MASTER, true);
	t1_target_open(&target, argv[2], 2, T1_PAGE);

	before = __atomic_load_n(target.mem, __ATOMIC_ACQUIRE);
	/* A transfer takes edu 100 ms. */
	usleep(300000);
	after = __atomic_load_n(target.mem, __ATOMIC_ACQUIRE);
	if (!before)
		printf("never any\n");
	else if (before == after)
		printf("none\n");
	else
		printf("%u\n", after - before);

	t1_target_close(&target);
	t1_device_close(&edu);
	t1_container_close(&container);
	return 0;
}
