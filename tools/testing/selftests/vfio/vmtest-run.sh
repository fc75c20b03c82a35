#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Second half of the boot that vmtest.sh starts: load the VFIO modules, run the
# command, report its status, end the machine.

run=$1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8

port() { # name of the virtio-serial port
	local dir
	for dir in /sys/class/virtio-ports/*/; do
		dir=${dir%/}
		[[ $(<"$dir/name") == "$1" ]] && echo "${dir##*/}"
	done
}

finish() { # exit status
	echo "exit $1" >&9
	exec 9>&-
	busybox reboot -f
}

exec 9>"/dev/$(port status)"

fail() {
	echo "vmtest: $*" >"/dev/$(port err)"
	echo ready >&9
	finish 126
}

release=$(uname -r)
modules=$(<"$run/modules")
[[ ${modules##*/} == "$release" ]] ||
	fail "the kernel is $release, its modules (-m) are ${modules##*/}"
mkdir -p "/lib/modules/$release"
mount --bind "$modules" "/lib/modules/$release"
modprobe -a vfio vfio_iommu_type1 vfio-pci || fail "cannot load the VFIO modules from $modules"

# After a suspend, virtio's 9p does not come back in 6.1 unless it was kept awake. Any
# operation on a file of the host, even a close, then waits for ever.
if [[ -e /sys/power/state ]] && ! modprobe -q vfio_test_awake; then
	touch /run/power-state
	mount -o bind,ro /run/power-state /sys/power/state
fi

mapfile -d '' -t argv <"$run/argv"
cd "$(<"$run/cwd")" || fail "no directory $(<"$run/cwd") in the machine"

# Pipes between the command and the ports: a port can be opened only once, and
# programs open /dev/stderr.
mkfifo /run/out /run/err
cat /run/out >"/dev/$(port out)" &
cats=$!
cat /run/err >"/dev/$(port err)" &
cats+=" $!"

echo ready >&9
setsid -w "${argv[@]}" </dev/null >/run/out 2>/run/err 9>&-
status=$?

# Processes that the command left running may hold the pipes open for ever.
for _ in {1..20}; do
	# shellcheck disable=SC2086 # two numbers
	kill -0 $cats 2>/dev/null || break
	sleep 0.05
done
finish $status
