// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocate as many PASIDs as the quota allows, say how many and why there are no
 * more, and keep them until the end: of this process, for nested_guest.sh.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pasid.h"

#define LAST	((1U << 20) - 1)

int main(int argc, char **argv)
{
	struct t1_container c;
	struct t1_group *group;
	unsigned int count;

	if (argc != 2) {
		fprintf(stderr, "usage: %s BDF\n", argv[0]);
		return 1;
	}
	t1_container_open(&c);
	T1_ASSERT_OK(__t1_group_get(&c, t1_group_of(argv[1]), &group));
	count = t1_pasid_alloc_all(&c, 1, LAST);
	printf("%u, then: %s\n", count, strerror(-__t1_pasid_alloc(&c, 1, LAST)));
	fflush(stdout);
	pause();
	return 0;
}
