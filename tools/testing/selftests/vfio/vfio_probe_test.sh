#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What vfio-probe says, and that it leaves everything as it was. Runs on kernels
# without the peer and PASID extensions as well, where it has to say so.
#
# Tests are called by the names that declare finds; what is in single quotes is
# for another shell.
# shellcheck disable=SC2317,SC2016
set -u

here=$(dirname "$(readlink -f "$0")")
PATH=$PATH:$here:$here/../../../vfio
drivers=/sys/bus/pci/drivers
devices=/sys/bus/pci/devices
type1=/sys/module/vfio_iommu_type1
# shellcheck source=tap_lib.sh
. "$here/tap_lib.sh"
# shellcheck source=user_lib.sh
. "$here/user_lib.sh"

skip_all() {
	echo "1..0 # SKIP $*"
	exit 4
}

group_of() { basename "$(readlink "$devices/$1/iommu_group")"; }

# The first device bound to a driver in a group of so many devices
bound() { # driver, devices
	local path members
	for path in "$drivers/$1"/????:*; do
		members=("$path"/iommu_group/devices/*)
		[[ ${#members[@]} != "$2" ]] || { echo "${path##*/}"; return; }
	done
}

show_output() { cat "$tmp/err" "$tmp/out"; }

# Run a command. To look at its output takes no process: in the machine, each of
# these takes a tenth of a second.
run() {
	"$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	status=$?
	IFS= read -rd '' out <"$tmp/out"
	IFS= read -rd '' err <"$tmp/err"
}

silent() { [[ ! $err ]]; }
says() { [[ $err == *"$1"* ]]; }
lines() {
	local ends=${err//[!$'\n']/}
	[[ ${#ends} == "$1" ]]
}
printed_nothing() { [[ ! $out ]]; }
shows() { [[ $out == *"$1"* ]]; }
# The JSON has the line "key": value
has() {
	local line=$'\n'" *\"$1\": $2,?"$'\n'
	[[ $out =~ $line ]]
}

usable() {
	expect "status" returned 0
	expect "no complaint" silent
	expect "usable" has usable true
	expect "viable" has viable true
}

unusable() { # what stderr says
	expect "status" returned 1
	expect "not usable" has usable false
	expect "the reason" says "$1"
}

error() { # what stderr says
	expect "status" returned 2
	expect "no output" printed_nothing
	expect "the reason" says "$1"
}

test_root() {
	run vfio-probe --json "$device"
	usable
	expect "device" has device "\"$device\""
	expect "group" has group "$group"
	expect "file" has file "\"/dev/vfio/$group\""
	expect "member" shows "\"name\": \"$device\", \"driver\": \"vfio-pci\", \"vfio\": true"
	expect "types" has TYPE1v2 true
	expect "page sizes" has page_sizes '\[4096, [^]]*\]'
	expect "IOVA ranges" grep -q '"start": "0x0", "end": "0x[0-9a-f]*"' "$tmp/out"
	expect "mappings" has dma_avail 65535
	expect "dirty tracking" has dirty_page_sizes '\[4096\]'
	expect "capability" has exempt true
	expect "known when attached" has update_vaddr true
}

# With the file of the group, and nothing else
test_user() {
	run "${as_user[@]}" vfio-probe --json "$device"
	usable
	expect "no capability" has exempt false
	expect "page sizes" has page_sizes '\[4096, [^]]*\]'
}

# The same device in all ways to name it, and the same said in text
test_names() {
	run vfio-probe "$device"
	expect "status" returned 0
	expect "usable" grep -qx 'usable  *yes' "$tmp/out"
	expect "page sizes" grep -q '^  page_sizes  *4K ' "$tmp/out"
	cp "$tmp/out" "$tmp/text"
	run vfio-probe "${device#0000:}"
	expect "without domain" cmp "$tmp/text" "$tmp/out"
	run vfio-probe "$group"
	expect "group" diff <(tail -n +2 "$tmp/text") <(tail -n +2 "$tmp/out")
}

# Valid, and with the same keys whatever there is to tell
test_json() {
	run vfio-probe --json "$device"
	cp "$tmp/out" "$tmp/usable"
	run vfio-probe --json --memory 4G "$host"
	expect "valid, all keys" python3 - "$tmp/usable" "$tmp/out" <<-EOF_PYTHON
		import json, sys
		keys = {"device", "group", "file", "noiommu", "members", "viable", "modules",
		        "types", "extensions", "iommu", "memlock", "usable", "reasons"}
		good, bad = [json.load(open(name)) for name in sys.argv[1:]]
		assert keys == set(good) == set(bad), set(good) ^ set(bad)
		assert good["extensions"].keys() == bad["extensions"].keys()
		assert good["iommu"].keys() == {"page_sizes", "iova_ranges", "dma_avail",
		                                "dirty_page_sizes", "pasid"}
		assert bad["iommu"] is None and bad["reasons"] and not good["reasons"]
		assert bad["memlock"]["needed"] == 4 << 30
		assert all(int(r["start"], 0) < int(r["end"], 0) for r in good["iommu"]["iova_ranges"])
	EOF_PYTHON
}

test_pasid_and_peer() {
	local parameter=$type1/parameters/pasids_per_group before offered=false peer=false
	[[ ! -e $parameter ]] || offered=true
	[[ ! -e /sys/bus/workqueue/devices/vfio-peer ]] || peer=true
	run vfio-probe --json "$device"
	usable
	expect "PASIDs" has pasid_alloc "$offered"
	expect "peer memory" has peer_revoke "$peer"
	if [[ $offered == false ]]; then
		expect "no capability" has pasid null
		return
	fi
	expect "quota" has quota "$(<"$parameter")"
	expect "used" has used 0
	expect "highest" has max 1048575
	before=$(<"$parameter")
	echo 77 >"$parameter"
	run "${as_user[@]}" vfio-probe --json "$device"
	echo "$before" >"$parameter"
	expect "another quota" has quota 77
}

test_noiommu_type() {
	local parameter=/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
	[[ -e $parameter ]] || { skip="no CONFIG_VFIO_NOIOMMU"; return; }
	run vfio-probe --json "$device"
	expect "off" has NOIOMMU false
	echo 1 >"$parameter"
	run vfio-probe --json "$device"
	echo 0 >"$parameter"
	usable
	expect "on" has NOIOMMU true
}

# A device without a driver keeps nobody from using the others of its group.
test_unbound_member() {
	local other
	[[ $pair ]] || { skip="no group with two devices bound to vfio-pci"; return; }
	other=$(cd "$devices/$pair/iommu_group/devices" && echo ????:*)
	other=${other/$pair/} other=${other// /}
	echo "$other" >"$drivers/vfio-pci/unbind"
	run vfio-probe --json "$pair"
	usable
	expect "no driver" shows "\"name\": \"$other\", \"driver\": null, \"vfio\": false"
	run vfio-probe --json "$(group_of "$pair")"
	usable
	run vfio-probe --json "$other"
	unusable "$other is bound to no driver"
	echo "$other" >"$drivers/vfio-pci/bind"
	run vfio-probe --json "$other"
	usable
}

test_unbound_group() {
	local owner
	owner=$(stat -c %U "/dev/vfio/$group")
	echo "$device" >"$drivers/vfio-pci/unbind"
	run vfio-probe --json "$group"
	unusable "no device of group $group is bound"
	expect "not viable" has viable false
	expect "no file" has file null
	run vfio-probe --json "$device"
	unusable "$device is bound to no driver"
	echo "$device" >"$drivers/vfio-pci/bind"
	chown "$owner" "/dev/vfio/$group"
}

test_host_driver() {
	run vfio-probe --json "$host"
	unusable "$host belongs to driver virtio-pci"
	expect "not viable" has viable false
	expect "nothing of its IOMMU" has iommu null
}

test_busy() {
	exec 3<>"/dev/vfio/$group"
	run vfio-probe --json "$device"
	exec 3>&-
	unusable "group $group is in use"
	expect "one reason" lines 1
	expect "members" shows "\"$device\", \"driver\": \"vfio-pci\""
	expect "types" has TYPE1v2 true
	expect "nothing of its IOMMU" has iommu null
	expect "not known" has update_vaddr null
	run vfio-probe --json "$device"
	usable
}

test_no_permission() {
	local owner
	owner=$(stat -c %U "/dev/vfio/$group")
	chown root "/dev/vfio/$group"
	run "${as_user[@]}" vfio-probe --json "$device"
	chown "$owner" "/dev/vfio/$group"
	unusable "permission denied on /dev/vfio/$group"
	expect "one reason" lines 1
}

test_memory() {
	# Anybody may lower it, below the 8 MiB that there are by default.
	local limit=(prlimit --memlock=$((4 << 20)) --)
	run "${limit[@]}" vfio-probe --json -m 4G "$device"
	usable
	run "${as_user[@]}" "${limit[@]}" vfio-probe --json --memory 4M "$device"
	usable
	expect "limit" has limit $((4 << 20))
	expect "enough" has suffices true
	run "${as_user[@]}" "${limit[@]}" vfio-probe --json --memory $(((4 << 20) + 1)) "$device"
	unusable "4097 KiB cannot be mapped"
	expect "not enough" has suffices false
	expect "IOMMU" has dma_avail 65535
	run "${as_user[@]}" "${limit[@]}" vfio-probe --json --memory 4G "$device"
	unusable "4194304 KiB cannot be mapped"
	expect "one reason" lines 1
}

# Seen in sysfs, and loaded by nobody
test_no_type1() {
	rmmod vfio_iommu_type1 2>/dev/null || { skip="vfio_iommu_type1 is built in"; return; }
	run vfio-probe --json "$device"
	unusable "module vfio_iommu_type1 is not loaded"
	expect "module" has vfio_iommu_type1 false
	expect "still not loaded" test ! -e "$type1"
	modprobe vfio_iommu_type1
	run vfio-probe --json "$device"
	usable
}

# As if there were none: VFIO is not opened, or the group would be busy.
test_no_modules() {
	exec 3<>"/dev/vfio/$group"
	run unshare -m bash -c 'for dir in class/misc class/vfio module bus/pci/drivers; do
		mount -t tmpfs none /sys/$dir; done; vfio-probe --json "$1"' bash "$device"
	exec 3>&-
	unusable "module vfio is not loaded"
	expect "type1" says "module vfio_iommu_type1 is not loaded"
	expect "vfio-pci" says "module vfio_pci is not loaded"
	expect "that is all" lines 3
	expect "not asked" has TYPE1 null
}

test_no_iommu_group() {
	run unshare -m bash -c 'mount -t tmpfs none "$1" && vfio-probe --json "${1##*/}"' \
		bash "$(readlink -f "$devices/$device")"
	unusable "$device has no IOMMU group: boot with"
	expect "no group" has group null
}

test_no_such() {
	run vfio-probe 0000:7f:1f.7
	error "no device 0000:7f:1f.7"
	expect "one line" lines 1
	run vfio-probe --json 99999
	error "no IOMMU group 99999"
	expect "one line" lines 1
}

test_usage() {
	local arg
	for arg in '' x 00:10 00:20.0 00:10.8 "${device}x" " $group" "$group " -1 0x1 \
			../.. 99999999999999999999 100000000:00:10.0; do
		run vfio-probe -- "$arg"
		error "is neither a PCI address"
		expect "one line" lines 1
	done
	for arg in '' 0 -1 M 4X 4GB 1.5G 99999999999T 99999999999999999999; do
		run vfio-probe --memory "$arg" "$device"
		error "is no size"
		expect "one line" lines 1
	done
	run vfio-probe
	error Usage
	run vfio-probe "$device" "$device"
	error Usage
	run vfio-probe --no-such-option "$device"
	error Usage
	run vfio-probe --help
	expect "help" returned 0
	expect "to stdout" silent
}

test_full_output() {
	run bash -c 'vfio-probe "$1" >/dev/full' bash "$device"
	expect "status" returned 2
	expect "the reason" says "cannot be written"
}

# No module is held, the group can be opened, and its translations are as before.
test_leaves_nothing() {
	local before after state="cat $type1/refcnt $devices/$device/iommu_group/type
		/proc/sys/kernel/tainted"
	before=$($state 2>&1)
	run vfio-probe "$device"
	(exec 3<>"/dev/vfio/$group") 2>"$tmp/err" || bad=1
	after=$($state 2>&1)
	expect "as before" test "$before" == "$after"
}

# Devices of the module vfio_test: groups by number, without any IOMMU
test_emulated() {
	local path
	path=/sys/bus/platform/drivers/vfio-test/vfio-test.0
	[[ -e $path ]] || { skip="no device of the module vfio_test"; return; }
	run vfio-probe --json "$(basename "$(readlink "$path/iommu_group")")"
	usable
	expect "member" shows '"vfio-test.0", "driver": "vfio-test", "vfio": true'
}

echo "TAP version 13"
[[ $(id -u) == 0 ]] || skip_all "only root can bind devices: type: sudo $0"
command -v vfio-probe >/dev/null || skip_all "no vfio-probe: type: make -C tools/vfio"
device=$(bound vfio-pci 1)
pair=$(bound vfio-pci 2)
host=$(bound virtio-pci 1)
[[ $device ]] || skip_all "no device bound to vfio-pci: type: $here/bind.sh BDF"
[[ $host ]] || skip_all "no virtio device: QEMU: -device virtio-rng-pci"
group=$(group_of "$device")
owner=$(stat -c %U:%G "/dev/vfio/$group")
trap 'chown "$owner" "/dev/vfio/$group"; rm -rf "$tmp"' EXIT
chown nobody "/dev/vfio/$group"

mapfile -t tests < <(declare -F | awk '$3 ~ /^test_/ { print $3 }')
run_tests "${tests[@]}"
