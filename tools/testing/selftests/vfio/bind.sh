#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Bind PCI devices to vfio-pci. Doing it twice does no harm.
set -euo pipefail

# What QEMU emulates and the tests know: edu, ivshmem, nvme, e1000e, igb. The
# last two exist as hardware, so they are never taken from a driver unasked.
known='0x1234:0x11e8 0x1af4:0x1110 0x1b36:0x0005 0x1b36:0x0010 0x8086:0x10d3 0x8086:0x10c9'
sysfs=/sys/bus/pci

usage() {
	cat <<-EOF_USAGE
	usage: ${0##*/} [-f] [-u USER] BDF...
	       ${0##*/} [-f] [-u USER] --all-test-devices

	Binds the devices (0000:00:10.0) to vfio-pci and prints the group of each.

	  -f       take a device away from the driver that it is bound to
	  -u USER  make USER the owner of the group files
	  --all-test-devices
	           every device that the tests here know how to use, and those of
	           the module vfio_test

	QEMU's edu device has a DMA mask of 28 bits unless -device edu,dma_mask=... says
	otherwise: it reaches the first 256 MiB of its address space only.
	EOF_USAGE
}

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# Last part of what a link names. Few programs are run here: under emulation each
# takes a tenth of a second.
target() {
	local path
	path=$(readlink "$1")
	echo "${path##*/}"
}

test_devices() {
	local path id
	for path in "$sysfs"/devices/*; do
		id=$(<"$path/vendor"):$(<"$path/device")
		if [[ " $known " == *" $id "* ]]; then
			echo "${path##*/}"
		fi
	done
}

bind() {
	local bdf=$1 dev=$sysfs/devices/$1 group

	[[ -d $dev ]] || die "no device $bdf: give its full address, like 0000:00:10.0"
	[[ -e $dev/iommu_group ]] ||
		die "$bdf has no IOMMU group: is the IOMMU on (intel_iommu=on)?"
	if [[ ! $dev/driver -ef $sysfs/drivers/vfio-pci ]]; then
		if [[ -e $dev/driver ]]; then
			[[ $force ]] ||
				die "$bdf belongs to driver $(target "$dev/driver"): -f takes it away"
			echo "$bdf" >"$dev/driver/unbind"
		fi
		echo vfio-pci >"$dev/driver_override"
		echo "$bdf" >"$sysfs/drivers_probe"
		[[ $dev/driver -ef $sysfs/drivers/vfio-pci ]] ||
			die "vfio-pci does not take $bdf: the kernel's log says why"
	fi

	group=$(target "$dev/iommu_group")
	if [[ $user ]]; then
		chown "$user" "/dev/vfio/$group"
	fi
	echo "$bdf $group"
}

# Devices that need no hardware, where the kernel has their module
add_module_devices() {
	local path group

	modprobe -q vfio_test || return 0
	for path in /sys/bus/platform/drivers/vfio-test/vfio-test.*; do
		group=$(target "$path/iommu_group")
		if [[ $user ]]; then
			chown "$user" "/dev/vfio/$group"
		fi
		echo "${path##*/} $group"
	done
}

force='' user='' all=''
devices=()
while [[ $# -gt 0 ]]; do
	case $1 in
	-f) force=1 ;;
	-u) user=${2:?-u needs a user}; shift ;;
	-h | --help) usage; exit 0 ;;
	--all-test-devices) all=1 ;;
	-*) usage >&2; exit 1 ;;
	*) devices+=("$1") ;;
	esac
	shift
done
if [[ $all ]]; then
	mapfile -t -O "${#devices[@]}" devices < <(test_devices)
	[[ ${#devices[@]} -gt 0 ]] || die "no test device in this machine"
fi
[[ ${#devices[@]} -gt 0 ]] || { usage >&2; exit 1; }

[[ -d $sysfs/drivers/vfio-pci ]] || modprobe vfio-pci ||
	die "no vfio-pci driver: set CONFIG_VFIO_PCI"
for bdf in "${devices[@]}"; do
	bind "$bdf"
done
if [[ $all ]]; then
	add_module_devices
fi
