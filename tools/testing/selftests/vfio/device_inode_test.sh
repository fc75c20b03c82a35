#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The modules go when no device is bound any more, and come back: nothing that a
# device had (an inode, the mount it lives in) pins them.
set -u

skip=4
driver=/sys/bus/pci/drivers/vfio-pci
here=$(dirname "$0")
number=0 failed=0

result() { # status, description
	number=$((number + 1))
	if [[ $1 == 0 ]]; then
		echo "ok $number $2"
	else
		echo "not ok $number $2"
		failed=1
	fi
}

bound() {
	local path
	for path in "$driver"/????:*; do
		[[ -e $path ]] && basename "$path"
	done
}

# Group files of the devices that the module vfio_test makes
module_groups() {
	local path
	for path in /sys/bus/platform/drivers/vfio-test/vfio-test.*; do
		[[ -e $path ]] && echo "/dev/vfio/$(basename "$(readlink "$path/iommu_group")")"
	done
}

skip_all() {
	echo "1..0 # SKIP $*"
	exit $skip
}

echo "TAP version 13"
[[ $(id -u) == 0 ]] || skip_all "only root can bind devices: type: sudo $0"
[[ -d /sys/module/vfio_pci/holders && -e /sys/module/vfio/refcnt ]] ||
	skip_all "no VFIO modules loaded: type: modprobe -a vfio-pci vfio_iommu_type1"
mapfile -t devices < <(bound)
[[ ${#devices[@]} -gt 0 ]] ||
	skip_all "no device bound to vfio-pci: type: $here/bind.sh BDF"
declare -A owner
for bdf in "${devices[@]}"; do
	group=$(basename "$(readlink "$driver/$bdf/iommu_group")")
	owner[$group]=$(stat -c %U:%G "/dev/vfio/$group")
	(exec 3<>"/dev/vfio/$group") 2>/dev/null ||
		skip_all "somebody uses $bdf: stop who has /dev/vfio/$group open"
done

again=(vfio-pci vfio_iommu_type1)
file=$(module_groups | head -1)
if [[ $file ]]; then
	again+=(vfio_test)
	module_owner=$(stat -c %U:%G "$file")
fi

modules=(vfio_test vfio_pci vfio_pci_core vfio_iommu_type1 vfio_virqfd vfio)
echo 1..5

status=0
for bdf in "${devices[@]}"; do
	echo "$bdf" >"$driver/unbind" || status=1
done
result $status "unbind every device"

status=0
for module in "${modules[@]}"; do
	# Built in, or not there in this version
	[[ -e /sys/module/$module/refcnt ]] || continue
	rmmod "$module" || status=1
done
result $status "remove the modules"

modprobe -a "${again[@]}"
result $? "load them again"

status=0
for bdf in "${devices[@]}"; do
	echo vfio-pci >"/sys/bus/pci/devices/$bdf/driver_override"
	echo "$bdf" >/sys/bus/pci/drivers_probe || status=1
	[[ -e $driver/$bdf ]] || status=1
done
result $status "bind every device"

status=0
for file in $(module_groups); do
	chown "$module_owner" "$file" || status=1
done
for group in "${!owner[@]}"; do
	chown "${owner[$group]}" "/dev/vfio/$group" || status=1
	# Opening needs no more than the group; a stale one would be busy.
	(exec 3<>"/dev/vfio/$group") || status=1
done
result $status "open every group"

exit $failed
