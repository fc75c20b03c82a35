#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# First process of the nested guest that nested_guest.sh or libvirt_guest.sh starts.
# Its kernel logs to the first serial port; the second one is for the program and its
# status.

bb=/bin/busybox

load() { # file with the names
	while read -r module; do
		$bb insmod "/modules/$module" || echo "! insmod $module failed"
	done <"$1"
}

ask() { # state
	echo "@$1"
	read -r _
}

end() { # status
	echo "@exit $1"
	while :; do
		$bb sleep 60
	done
}

wait_for_disk() {
	left=300
	until [ -b /dev/nvme0n1 ]; do
		[ $((left -= 1)) -gt 0 ] || return 1
		$bb sleep 0.1
	done
}

sum_of() { # file
	sum=$($bb sha256sum "$1")
	echo "${sum%% *}"
}

# Write a file to the file system on the nvme device, and read it from there. The host
# keeps the sums, as another guest and the host itself look at the same files.
use_disk() { # file, "new" to make the file system first
	load /modules/disk.load
	wait_for_disk || { echo "! guest: no nvme0n1"; return; }
	[ "$2" != new ] || $bb mke2fs /dev/nvme0n1 >/dev/null
	$bb mount -t ext2 /dev/nvme0n1 /mnt || { echo "! guest: no file system"; return; }
	for file in /mnt/file-*; do
		[ -e "$file" ] && ask "file ${file##*/} $(sum_of "$file")"
	done
	$bb head -c 1048576 /dev/urandom >/data
	$bb cp /data "/mnt/$1"
	# So that nothing of it is in memory
	$bb umount /mnt
	$bb mount -t ext2 /dev/nvme0n1 /mnt
	written=$(sum_of /data)
	seen=$(sum_of "/mnt/$1")
	$bb umount /mnt
	if [ "$seen" = "$written" ]; then
		echo "  guest: 1 MiB to nvme's file system, and back -> equal"
	else
		echo "! guest: 1 MiB to nvme's file system, and back -> $seen, not $written"
	fi
	ask "file $1 $written"
}

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
	[ $status = 0 ] || end $status
	# shellcheck disable=SC2154 # from there as well
	if [ "$disk" != none ]; then
		use_disk file-bare "$disk"
		ask disk_used
	fi
	/bin/guest_bare forever
	end $?
fi

load /modules/load
# Whatever the guest has that no driver wants; the tests choose by PCI ID.
for device in /sys/bus/pci/devices/*; do
	[ -e "$device/driver" ] && continue
	echo vfio-pci >"$device/driver_override"
	echo "${device##*/}" >/sys/bus/pci/drivers_probe
done

/bin/guest_devices
status=$?
ask plug_disk
use_disk file-viommu new
ask unplug_disk
end $status
