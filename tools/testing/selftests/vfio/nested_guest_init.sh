#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# First process of the nested guest that nested_guest.sh starts. Its kernel logs
# to the first serial port; the second one is for the program and its status.

bb=/bin/busybox

$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev 2>/dev/null
$bb stty -F /dev/ttyS1 raw -echo
exec </dev/ttyS1 >/dev/ttyS1 2>&1

# From the kernel's command line
# shellcheck disable=SC2154
if [ "$guest" = bare ]; then
	/bin/guest_bare
	status=$?
	[ $status != 3 ] || $bb reboot -f
	echo "@exit $status"
	while :; do
		$bb sleep 60
	done
fi

while read -r module; do
	$bb insmod "/modules/$module" || echo "! insmod $module failed"
done </modules/load

# Whatever the guest has that no driver wants; the tests choose by PCI ID.
for device in /sys/bus/pci/devices/*; do
	[ -e "$device/driver" ] && continue
	echo vfio-pci >"$device/driver_override"
	echo "${device##*/}" >/sys/bus/pci/drivers_probe
done

/bin/guest_devices
echo "@exit $?"
while :; do
	$bb sleep 60
done
