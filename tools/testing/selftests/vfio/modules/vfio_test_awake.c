// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps virtio's devices out of a system sleep, for tests of VFIO.
 *
 * Linux 6.1 resets each virtio device when the system resumes, even if the
 * device has kept its state, as with /sys/power/pm_test. The driver of 9p does
 * not set its device up again. In a virtual machine with its root on 9p, no
 * file can be read or even closed after that. While this module is loaded,
 * virtio devices are neither stopped nor reset. Newer kernels do not need it:
 * they do not reset a device whose PM capability says that it keeps its state.
 *
 * Not for a sleep in which the devices lose power.
 */

#include <linux/device.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>

/* In place of the functions below: same arguments, same result as on success */
static int vfio_test_stay_awake(struct device *dev)
{
	return 0;
}

static int vfio_test_awake_hit(struct kprobe *probe, struct pt_regs *regs)
{
	instruction_pointer_set(regs, (unsigned long)vfio_test_stay_awake);
	return 1;
}

/* Never called, but a kprobe that changes the instruction pointer needs one */
static void vfio_test_awake_post(struct kprobe *probe, struct pt_regs *regs,
				 unsigned long flags)
{
}

#define VFIO_TEST_STAY_AWAKE(symbol) {			\
	.symbol_name = symbol,				\
	.pre_handler = vfio_test_awake_hit,		\
	.post_handler = vfio_test_awake_post,		\
}

/* Some kernels have the last two as well, and the first two inlined there */
static struct kprobe vfio_test_awake_probes[] = {
	VFIO_TEST_STAY_AWAKE("virtio_pci_freeze"),
	VFIO_TEST_STAY_AWAKE("virtio_pci_restore"),
	VFIO_TEST_STAY_AWAKE("virtio_pci_suspend"),
	VFIO_TEST_STAY_AWAKE("virtio_pci_resume"),
};

static unsigned int vfio_test_awake_count;

static void vfio_test_awake_remove(void)
{
	while (vfio_test_awake_count)
		unregister_kprobe(&vfio_test_awake_probes[--vfio_test_awake_count]);
}

static int __init vfio_test_awake_init(void)
{
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(vfio_test_awake_probes); i++) {
		ret = register_kprobe(&vfio_test_awake_probes[i]);
		if (ret == -ENOENT && i >= 2)
			break;
		if (ret) {
			vfio_test_awake_remove();
			return ret;
		}
		vfio_test_awake_count++;
	}
	return 0;
}
module_init(vfio_test_awake_init);

static void __exit vfio_test_awake_exit(void)
{
	vfio_test_awake_remove();
}
module_exit(vfio_test_awake_exit);

MODULE_DESCRIPTION("Keeps virtio's devices out of a system sleep, for tests of VFIO");
MODULE_LICENSE("GPL");
