// SPDX-License-Identifier: GPL-2.0-only
/*
 * Power states that emulated PCI functions do not have, for tests of VFIO.
 *
 * QEMU emulates no function that reports D1 and D2, but some functions keep the
 * value that is written to the register. Write the address of a function to
 *
 *	/sys/module/vfio_test_pci/parameters/d1d2
 *
 * and the PCI core takes it for a function with both states.
 */

#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>

static int vfio_test_d1d2_set(const char *val, const struct kernel_param *kp)
{
	unsigned int domain, bus, slot, func;
	struct pci_dev *pdev;

	if (sscanf(val, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return -EINVAL;
	pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
	if (!pdev)
		return -ENODEV;

	pdev->d1_support = 1;
	pdev->d2_support = 1;
	pci_dev_put(pdev);
	return 0;
}

static const struct kernel_param_ops vfio_test_d1d2_ops = {
	.set = vfio_test_d1d2_set,
};

module_param_cb(d1d2, &vfio_test_d1d2_ops, NULL, 0200);
MODULE_PARM_DESC(d1d2, "Address of a PCI function that is to have D1 and D2.");

static int __init vfio_test_pci_init(void)
{
	return 0;
}
module_init(vfio_test_pci_init);

static void __exit vfio_test_pci_exit(void)
{
}
module_exit(vfio_test_pci_exit);

MODULE_DESCRIPTION("Power states that PCI functions do not have, for tests of VFIO");
MODULE_LICENSE("GPL");
