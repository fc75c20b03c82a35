#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# First process of the machine that vmtest.sh boots, in its initramfs: make the
# host's root, seen over 9p, writable by a tmpfs on top, and go there.
# vmtest-run.sh, in the directory that vmtest= names, goes on.

bb=/bin/busybox

fail() {
	echo "vmtest-init: $*" >/dev/console
	$bb poweroff -f
}

$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev 2>/dev/null

while read -r module; do
	$bb insmod "/modules/$module" || fail "cannot load $module"
done </modules/load

$bb mkdir /lower /upper
$bb mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 root /lower ||
	fail "cannot mount the host's root"
$bb mount -t tmpfs -o size=75% upper /upper
$bb mkdir /upper/data /upper/work
$bb mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /new ||
	fail "cannot mount the overlay"

for dir in proc sys dev; do
	$bb mount --move /$dir /new/$dir
done
run=$($bb sed -n 's/.*vmtest=\([^ ]*\).*/\1/p' /new/proc/cmdline)
exec $bb switch_root /new /bin/bash "$run/run.sh" "$run"
