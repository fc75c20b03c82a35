// SPDX-License-Identifier: GPL-2.0-only
/*
 * What tests of peer memory begin with: an edu in a container of its own that
 * has some RAM mapped, and a target in another container.
 */
#include <sys/mman.h>

#include "type1.h"
#include "type1_edu.h"
#include "type1_iommu.h"
#include "type1_pci.h"
#include "type1_rig.h"
#include "type1_touch.h"

void t1_rig_open(struct t1_rig *rig, const char *edu)
{
	touch_init();
	t1_container_open(&rig->c);
	t1_device_open(&rig->edu, &rig->c, edu);
	rig->bar0 = t1_bar_mmap(&rig->edu, 0, 0, T1_EDU_BAR_SIZE);
	rig->ram = mmap(NULL, T1_RIG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	T1_ASSERT(rig->ram != MAP_FAILED);
	rig->avail = t1_dma_avail(&rig->c);
	t1_map(&rig->c, rig->ram, T1_RIG_RAM, T1_RIG_SIZE, T1_RW);
}

void t1_rig_close(struct t1_rig *rig)
{
	t1_unmap(&rig->c, T1_RIG_RAM, T1_RIG_SIZE);
	/* Whatever a test did, all of its mappings are given back. */
	T1_ASSERT(t1_dma_avail(&rig->c) == rig->avail);
	munmap(rig->ram, T1_RIG_SIZE);
	munmap(rig->bar0, T1_EDU_BAR_SIZE);
	t1_device_close(&rig->edu);
	t1_container_close(&rig->c);
}

void t1_target_open(struct t1_target *target, const char *bdf, int bar, __u64 offset)
{
	t1_container_open(&target->c);
	t1_device_open(&target->dev, &target->c, bdf);
	target->mem = t1_bar_mmap(&target->dev, bar, offset, T1_RIG_SIZE);
}

void t1_target_close(struct t1_target *target)
{
	munmap(target->mem, T1_RIG_SIZE);
	t1_device_close(&target->dev);
	t1_container_close(&target->c);
}

void t1_dma_write(struct t1_rig *rig, __u64 iova, __u32 value)
{
	__atomic_store_n(rig->ram, value, __ATOMIC_RELEASE);
	edu_dma_from(rig->bar0, T1_RIG_RAM, 0, sizeof(value));
	edu_dma_to(rig->bar0, iova, 0, sizeof(value));
}

bool t1_dma_arrives(struct t1_rig *rig, __u64 iova, __u32 *word)
{
	static __u32 value = 0x1000;

	value++;
	__atomic_store_n(word, 0, __ATOMIC_RELAXED);
	t1_dma_write(rig, iova, value);
	return __atomic_load_n(word, __ATOMIC_ACQUIRE) == value;
}

/*
 * Edu writes a word to @iova, and reads it from there to where it has another one. Of a
 * read that fails it gets zeroes or ones, or keeps what it had.
 */
static bool keeps_a_word(struct t1_rig *rig, __u64 iova)
{
	const unsigned int last = T1_RIG_SIZE - 2 * sizeof(__u32);	/* tests use the start */
	__u32 *words = rig->ram + last / sizeof(__u32);
	static __u32 value = 0x5a5a0000;

	words[0] = ++value;
	__atomic_store_n(&words[1], ~value, __ATOMIC_RELEASE);
	edu_dma_from(rig->bar0, T1_RIG_RAM + last, 0, 2 * sizeof(__u32));
	edu_dma_to(rig->bar0, iova, 0, sizeof(__u32));
	edu_dma_from(rig->bar0, iova, sizeof(__u32), sizeof(__u32));
	edu_dma_to(rig->bar0, T1_RIG_RAM + last + sizeof(__u32), sizeof(__u32), sizeof(__u32));
	return __atomic_load_n(&words[1], __ATOMIC_ACQUIRE) == value;
}

bool t1_rig_translates(struct t1_rig *rig, __u64 iova)
{
	return t1_tables_visible() ? t1_translates(rig->edu.bdf, iova) : keeps_a_word(rig, iova);
}
