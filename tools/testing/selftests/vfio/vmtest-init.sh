#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
#
# First process of the machine that vmtest.sh boots, in its initramfs: make the
# host's root, seen over 9p, writable by a tmpfs on top, and go there.
# vmtest-run.sh, in the directory that vmtest= names, goes on. With vmtest_layer= there
# is another directory of the host's to be seen on top of that root.

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
options=ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000
$bb mount -t 9p -o $options root /lower ||
	fail "cannot mount the host's root"
$bb mount -t tmpfs -o size=75% upper /upper
$bb mkdir /upper/data /upper/work
lower=/lower
# From the kernel's command line
# shellcheck disable=SC2154
if [ -n "$vmtest_layer" ]; then
	$bb mkdir /layer
	$bb mount -t 9p -o $options layer /layer || fail "cannot mount the layer"
	lower=/layer:/lower
fi
$bb mount -t overlay -o "lowerdir=$lower,upperdir=/upper/data,workdir=/upper/work" overlay /new ||
	fail "cannot mount the overlay"

for dir in proc sys dev; do
	$bb mount --move /$dir /new/$dir
done
# What programs expect, by busybox: it is here, small, and quick to start.
cd /new || fail "no overlay"
$bb mkdir -p dev/pts dev/shm
$bb mount -t devpts devpts dev/pts
$bb mount -t tmpfs shm dev/shm
$bb mount -t tmpfs run run
$bb mount -t debugfs debugfs sys/kernel/debug
$bb mount -t tracefs tracefs sys/kernel/tracing
$bb mount -t cgroup2 cgroup2 sys/fs/cgroup
$bb ln -sf /proc/self/fd dev/fd
$bb ln -sf fd/0 dev/stdin
$bb ln -sf fd/1 dev/stdout
$bb ln -sf fd/2 dev/stderr
$bb ip link set lo up
$bb hostname vmtest

run=$($bb sed -n 's/.*vmtest=\([^ ]*\).*/\1/p' /new/proc/cmdline)
cd / || fail "no root"
exec $bb switch_root /new /bin/bash "$run/run.sh" "$run"
