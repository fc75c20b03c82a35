#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# VFIO with the client that matters most: a QEMU that owns an edu and an ivshmem
# device, whose guest has a virtual IOMMU and drives the devices by VFIO itself, and
# then has an nvme device plugged in, whose driver keeps a file system there; then
# without a virtual IOMMU, where the guest resets a target, that nvme device, reboots,
# has the other target unplugged and plugged in, and is killed while DMA goes on.
# QEMU runs as a user with nothing but the group files and a limit for locked memory.
# This is the host's part. It starts QEMU, runs a program in the guest, looks
# at the host whenever the guest asks for it, and prints a line for each fact.
#
# Fails on stock 6.1, by design: there the offset of a mapping in
# /proc/PID/maps is the physical address of the BAR.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=nested_guest_lib.sh
. "$here/nested_guest_lib.sh"

memory=256	# MiB of a guest

usage() {
	cat <<-EOF_USAGE
	usage: ${0##*/} bzImage DIRECTORY [long]

	Starts nested guests with this kernel, the modules of the running one and the
	statically linked programs guest_devices, guest_bare, guest_gone, pasid_hog and
	pasid_jobs in DIRECTORY, which drive the edu and the ivshmem device, and one of
	the module vfio_test.
	Exit status: 0 when all is as it should be, 4 when something needed is missing.
	EOF_USAGE
}

# A guest's memory, and what else of QEMU's a device may reach
limit() { # how many containers
	echo $(($1 * (memory + 4) << 20))
}

start_guest() { # bytes of memory that may be locked, guest's mode, QEMU arguments...
	local memlock=$1 mode=$2
	shift 2
	# XSAVE is off because KVM on an emulated CPU gets its size wrong.
	prlimit --memlock="$memlock" -- "${as_user[@]}" \
		qemu-system-x86_64 -nodefaults -no-user-config -display none \
		-accel kvm -machine q35,kernel-irqchip=split -cpu host,-xsave -smp 1 -m ${memory}M \
		-kernel "$run/kernel" -initrd "$run/initramfs.cpio" \
		-append "console=ttyS0 loglevel=5 panic=-1 oops=panic intel_iommu=on lockdep.prove_locking=0 watchdog_thresh=60 guest=$mode" \
		-serial "file:$run/console" \
		-chardev "pipe,id=guest,path=$run/guest" -serial chardev:guest \
		-chardev "pipe,id=monitor,path=$run/monitor" -mon chardev=monitor \
		"$@" 3>&- 4>&- 5>&- 6>&- >"$run/qemu.log" 2>&1 &
	qemu=$!
}

# Without a virtual IOMMU all of its memory has to be locked at once.
refuse_guest() {
	start_guest $((memory << 19)) bare -device "vfio-pci,host=$edu"
	wait "$qemu" || true
	qemu=
	expect "host: QEMU with half the memory to lock" "*Cannot allocate memory*" \
		"$(grep -m1 -F vfio "$run/qemu.log" || tail -n 1 "$run/qemu.log")"
}

# What QEMU has mapped. The offset in a device's file has the number of the region
# in the bits from 40 up, and each BAR is mapped from its start; what does not
# look like this is shown as it is.
mapped_bars() {
	local range offset size
	while read -r range _ offset _; do
		offset=$((0x$offset)) size=$(((0x${range#*-} - 0x${range%-*}) >> 10))
		if ((offset % (1 << 40))); then
			printf '0x%x %d KiB\n' $offset $size
		else
			printf 'BAR%d %d KiB\n' $((offset >> 40)) $size
		fi
	done < <(grep -F '[vfio-device]' "/proc/$qemu/maps") | one_line
}

one_line() { sort | paste -sd, | sed 's/,/, /g'; }

# A BAR as mapped_bars() is to show it: whole pages
bar() { # device, number
	local first last
	read -r first last _ < <(sed -n "$(($2 + 1))p" "/sys/bus/pci/devices/$1/resource")
	echo "BAR$2 $((((last - first) >> 12) * 4 + 4)) KiB"
}

memory_bit() {
	local command
	command=$(od -An -tu2 -j4 -N2 "/sys/bus/pci/devices/$ivshmem/config")
	echo $(((command >> 1) & 1))
}

account() {
	expect "host: QEMU's user" nobody "$(stat -c %U "/proc/$qemu")"
	# Each device has an I/O address space of its own behind the vIOMMU.
	expect "host: QEMU's files" "2 devices, 2 groups, 2 containers" \
		"$(vfio_files "$qemu")"
	expect "host: QEMU's mappings, by file offset" \
		"$({ bar "$edu" 0; bar "$ivshmem" 0; bar "$ivshmem" 2; } | one_line)" "$(mapped_bars)"
	# Not all RAM of the guest, but what its vIOMMU maps: a page for edu
	expect "host: memory locked for DMA" "4 kB" "$(locked_memory "$qemu")"
}

# The guest's system lets go of the device first, which takes it a while.
unplug() { # its name for QEMU, devices that are left
	echo "device_del $1" >&5
	within 300 qemu_has "$2" || true
	expect "host: QEMU's devices after device_del" "$2" "$(files_of_qemu)"
}

plug() { # its name for QEMU, device, devices then
	echo "device_add vfio-pci,host=$2,bus=rp1,id=$1" >&5
	within 300 qemu_has "$3" || true
	expect "host: QEMU's devices after device_add" "$3" "$(files_of_qemu)"
}

# The first time, boot once more, and unplug the second time. Lockdep has something to
# say of that in 6.1, with or without us, so look at its reports before.
after_bare_dma() {
	if [[ ! $rebooted ]]; then
		expect "host: QEMU's devices" 3 "$(files_of_qemu)"
		rebooted=1 answer=reboot
	else
		guest_reports
		unplug target 2
		answer=unplugged
	fi
}

# What the guest asks to look at. Each state of its programs has its case.
look() { # state
	case $1 in
	bare_dma) after_bare_dma ;;
	bare_unplugged) plug target "$ivshmem" 3 ;;
	disk_used) ;;
	dma_forever\ *) address=${1#* } listening='' answer='' ;;
	dma_mapped) account ;;
	memory_on) expect "host: ivshmem's memory enable bit" 1 "$(memory_bit)" ;;
	memory_off) expect "host: ivshmem's memory enable bit" 0 "$(memory_bit)" ;;
	plug_disk) plug disk "$nvme" 3 ;;
	unplug_disk)
		guest_reports
		unplug disk 2 ;;
	*) look_common "$1" ;;
	esac
}

stop_guest() { # signal
	kill "-$1" "$qemu" || fact "! host: QEMU ended by itself"
	wait "$qemu" 2>/dev/null || true
	qemu=
}

kill_amid_dma() {
	# So that a transfer is under way
	sleep 0.3
	stop_guest KILL
	# At once, without a second try
	expect "host: groups free after SIGKILL amid DMA" 3 "$(groups_free "$edu" "$ivshmem" "$nvme")"
	no_more_dma
}

# The series has no PASIDs for some kernels. On a stock kernel they are what is missing.
has_pasids() {
	[[ -e /sys/module/vfio_iommu_type1/parameters/pasids_per_group ||
	   ! -e /sys/bus/workqueue/devices/vfio-peer ]]
}

pasids_in_use() { awk '$1 == "pasid" { n = $2 } END { print n }' n=unknown "$cgroup/misc.current"; }

# A process allocates what it is allowed to, and dies.
account_pasids() {
	local cgroup=/sys/fs/cgroup/vfio-test all=1000 none=0 hog count
	# Modules can be built for a kernel whose misc controller does not know PASIDs.
	if [[ ! -e /sys/module/pasid_pool ]]; then
		expect "host: PASIDs that a process gets" "1000, then: Disk quota exceeded" "no module pasid_pool"
		return
	elif ! grep -q '^pasid ' /sys/fs/cgroup/misc.capacity; then
		all=unknown none=unknown
	fi
	echo +misc >/sys/fs/cgroup/cgroup.subtree_control
	mkdir -p $cgroup
	coproc hog (
		echo 0 >$cgroup/cgroup.procs
		exec "$programs/pasid_hog" "$ivshmem"
	)
	read -r count <&"${hog[0]}"
	expect "host: PASIDs that a process gets" "1000, then: Disk quota exceeded" "$count"
	expect "host: PASIDs charged to its cgroup" $all "$(pasids_in_use)"
	# shellcheck disable=SC2154 # set by coproc
	kill -KILL "$hog_PID"
	wait "$hog_PID" 2>/dev/null || true
	expect "host: the same after SIGKILL" $none "$(pasids_in_use)"
	rmdir $cgroup
}

# A PASID is attached to an address space. QEMU emulates no device that could use it.
account_jobs() {
	local jobs
	if ! modprobe -q vfio_test; then
		expect "device: the module vfio_test" there "not there"
		return
	fi
	mapfile -t jobs < <("$programs/pasid_jobs")
	expect "device: DMA in the space of its PASID" "done" "${jobs[0]-}"
	expect "device: what only the container has mapped" "no memory" "${jobs[1]-}"
	expect "device: the same with another PASID" "refused: PASID" "${jobs[2]-}"
	expect "device: the same when that is freed" "refused: PASID" "${jobs[3]-}"
}

[[ $# == 2 || $# == 3 ]] || { usage >&2; exit 1; }
kernel=$1 programs=$2 long=${3:-}
find_machine "$kernel" "$programs"/{guest_devices,guest_bare,guest_gone,pasid_hog,pasid_jobs}
for tool in qemu-system-x86_64 busybox cpio; do
	command -v $tool >/dev/null || missing "$tool is missing: apt-get install qemu-system-x86 busybox-static cpio"
done

run=$(mktemp -d)
qemu='' rebooted=''
trap '[[ ! $qemu ]] || kill -KILL "$qemu"; rm -rf "$run"' EXIT

# The user's: KVM, as distributions do it, and what QEMU opens by name
chmod 666 /dev/kvm
cp "$kernel" "$run/kernel"
"$tests/bind.sh" -f -u nobody "$edu" "$ivshmem" "$nvme" >/dev/null
expect "host: groups free, before QEMU starts" 3 "$(groups_free "$edu" "$ivshmem" "$nvme")"
references=$(</sys/module/vfio/refcnt)
make_initramfs
mkfifo "$run"/{guest,monitor}.{in,out}
chown -R nobody "$run"
# Both ways, or each end would wait for the other one to open.
exec 3<>"$run/guest.in" 4<>"$run/guest.out" 5<>"$run/monitor.in" 6<>"$run/monitor.out"
[[ ! $long ]] || refuse_guest
# Until the guest uses its IOMMU, each device's container has all of its memory.
start_guest "$(limit 2)" viommu -device intel-iommu,intremap=on,caching-mode=on \
	-device pcie-root-port,id=rp1,addr=12.0 \
	-device "vfio-pci,host=$edu,addr=10.0" -device "vfio-pci,host=$ivshmem,addr=11.0"
listen
stop_guest TERM
# Without a virtual IOMMU, and with the target in a slot that it can be pulled from, by
# the slot's own button.
start_guest "$(limit 1)" "bare disk=${long:-none}" -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off \
	-device pcie-root-port,id=rp1,addr=11.0 -device "vfio-pci,host=$edu,addr=10.0" \
	-device "vfio-pci,host=$nvme,addr=12.0" -device "vfio-pci,host=$ivshmem,bus=rp1,id=target"
listen
kill_amid_dma
expect "QEMU ended: users of vfio, inodes included" "$references" "$(</sys/module/vfio/refcnt)"
if has_pasids; then
	account_pasids
	account_jobs
else
	echo "- no PASIDs: the series has none for this kernel"
fi
expect "QEMU ended: mappings of devices left" 0 "$(device_mappings)"
expect "QEMU ended: groups free" 3 "$(groups_free "$edu" "$ivshmem" "$nvme")"
expect "QEMU ended: users of the vfio_pci module" 0 "$(</sys/module/vfio_pci/refcnt)"
modprobe nvme
echo "$nvme" >/sys/bus/pci/drivers/vfio-pci/unbind
echo nvme >"/sys/bus/pci/devices/$nvme/driver_override"
echo "$nvme" >/sys/bus/pci/drivers_probe
files_on_host
sum_up
