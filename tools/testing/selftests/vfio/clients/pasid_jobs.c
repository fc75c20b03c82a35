// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attach a PASID of a device to an address space, and say what comes of accesses: in
 * the space, beyond what is mapped there, under another PASID, and when the PASID is
 * freed. For nested_guest.sh.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "../lib/type1.h"
#include "../lib/type1_pasid.h"
#include "../lib/type1_vtest.h"

#define IOVA	0x1000000UL
#define SIZE	(2 * T1_PAGE)
#define PASID	5

static void show(struct t1_vtest *dev, __u32 pasid, __u64 iova)
{
	static const char * const answers[] = {
		[VFIO_TEST_DONE] = "done",
		[VFIO_TEST_NO_PASID] = "refused: PASID",
		[VFIO_TEST_NO_MEMORY] = "no memory",
	};

	puts(answers[t1_job(dev, pasid, VFIO_TEST_WRITE, iova, 8)]);
}

int main(void)
{
	const char *name = t1_vtest_find(0);
	struct t1_container c, space;
	struct t1_vtest dev;
	void *ram;

	if (!name) {
		fprintf(stderr, "%s\n", T1_VTEST_HINT);
		return 1;
	}
	t1_container_open(&c);
	t1_vtest_open(&dev, &c, name);
	ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	T1_ASSERT(ram != MAP_FAILED);
	t1_map(&c, ram, IOVA, SIZE, T1_RW);
	t1_space_create(&c, &space);
	t1_map(&space, ram, IOVA, T1_PAGE, T1_RW);
	t1_pasid_alloc(&c, PASID, PASID);
	t1_pasid_alloc(&c, PASID + 1, PASID + 1);
	t1_pasid_attach(&dev, PASID, space.fd);

	show(&dev, PASID, IOVA);
	show(&dev, PASID, IOVA + T1_PAGE);
	show(&dev, PASID + 1, IOVA);
	T1_ASSERT(__t1_pasid_free(&c, PASID, PASID) == 1);
	/* Waits for the device, as to free does not. */
	T1_ASSERT(__t1_pasid_detach(&dev, PASID));
	show(&dev, PASID, IOVA);
	return 0;
}
