#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# VFIO with the client that matters most: a QEMU that owns an edu and an ivshmem
# device, whose guest has a virtual IOMMU and drives the devices by VFIO itself;
# then without a virtual IOMMU, where the guest resets a target, an nvme device,
# reboots, and has the other target unplugged.
# This is the host's part. It starts QEMU, runs a program in the guest, looks
# at the host whenever the guest asks for it, and prints a line for each fact:
#
#	  what -> what was seen
#	! what -> what should not have been seen
#
# Fails on stock 6.1, by design: there the offset of a mapping in
# /proc/PID/maps is the physical address of the BAR.
set -euo pipefail

skip=4
here=$(dirname "$(readlink -f "$0")")
facts=0 failed=0

usage() {
	cat <<-EOF_USAGE
	usage: ${0##*/} bzImage DIRECTORY

	Starts nested guests with this kernel, the modules of the running one and the
	statically linked programs guest_devices, guest_bare, pasid_hog and pasid_jobs
	in DIRECTORY, which drive the edu and the ivshmem device, and one of the module
	vfio_test.
	Exit status: 0 when all is as it should be, 4 when something needed is missing.
	EOF_USAGE
}

missing() {
	echo "${0##*/}: $*" >&2
	exit $skip
}

fact() { # line as guest_devices prints it
	echo "$1"
	facts=$((facts + 1))
	[[ $1 != !* ]] || failed=$((failed + 1))
}

expect() { # what, what should be seen (a pattern), what was seen
	local mark=' ' want=
	# shellcheck disable=SC2053 # a pattern
	[[ $3 == $2 ]] || mark='!' want=" (should be $2)"
	fact "$(printf '%s %-41s -> %s%s' "$mark" "$1" "$3" "$want")"
}

find_device() { # PCI vendor, device
	local path
	for path in /sys/bus/pci/devices/*; do
		if [[ $(<"$path/vendor") == "$1" && $(<"$path/device") == "$2" ]]; then
			basename "$path"
			return
		fi
	done
}

make_initramfs() {
	local root=$run/initramfs file
	mkdir -p "$root"/{bin,modules,dev,proc,sys}
	cp "$(command -v busybox)" "$root/bin/busybox"
	cp "$programs"/guest_* "$root/bin/"
	cp "$here/nested_guest_init.sh" "$root/init"
	# "insmod FILE", in loading order; nothing for what is built in
	modprobe -a --show-depends vfio_iommu_type1 vfio-pci |
		sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' |
		while read -r file; do
			cp "$file" "$root/modules/"
			basename "$file"
		done >"$root/modules/load"
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$run/initramfs.cpio"
}

start_guest() { # guest's mode, QEMU arguments...
	local mode=$1
	shift
	# XSAVE is off because KVM on an emulated CPU gets its size wrong.
	qemu-system-x86_64 -nodefaults -no-user-config -display none \
		-accel kvm -machine q35,kernel-irqchip=split -cpu host,-xsave -smp 1 -m 256M \
		-kernel "$kernel" -initrd "$run/initramfs.cpio" \
		-append "console=ttyS0 loglevel=5 panic=-1 oops=panic intel_iommu=on lockdep.prove_locking=0 guest=$mode" \
		-serial "file:$run/console" \
		-chardev "pipe,id=guest,path=$run/guest" -serial chardev:guest \
		-chardev "pipe,id=monitor,path=$run/monitor" -mon chardev=monitor \
		"$@" 3>&- 4>&- 5>&- 6>&- >"$run/qemu.log" 2>&1 &
	qemu=$!
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
	local files count
	files=$(find "/proc/$qemu/fd" -printf '%l\n')
	count="$(grep -cF '[vfio-device]' <<<"$files") devices"
	count+=", $(grep -c '^/dev/vfio/[0-9]' <<<"$files") groups"
	count+=", $(grep -c '^/dev/vfio/vfio$' <<<"$files") containers"
	# Each device has an I/O address space of its own behind the vIOMMU.
	expect "host: QEMU's files" "2 devices, 2 groups, 2 containers" "$count"
	expect "host: QEMU's mappings, by file offset" \
		"$({ bar "$edu" 0; bar "$ivshmem" 0; bar "$ivshmem" 2; } | one_line)" "$(mapped_bars)"
	# Not all RAM of the guest, but what its vIOMMU maps: a page for edu
	expect "host: memory locked for DMA" "4 kB" \
		"$(sed -n 's/^VmLck:[[:space:]]*//p' "/proc/$qemu/status")"
}

files_of_qemu() {
	find "/proc/$qemu/fd" -printf '%l\n' | grep -cF '[vfio-device]' || true
}

guest_reports() {
	local what='WARNING|BUG|Oops|panic' found=none
	if grep -aqE "$what" "$run/console"; then
		found=$(grep -aoEm1 "($what).*" "$run/console")
		grep -aE -A60 -m1 "$what" "$run/console" >&2
	fi
	expect "host: reports of the guest's kernel" none "$found"
}

# The guest's system lets go of the device first, which takes it a while. Lockdep has
# something to say of that in 6.1, with or without us, so look at its reports before.
unplug_target() {
	local left=300
	guest_reports
	echo "device_del target" >&5
	while [[ $(files_of_qemu) != 2 ]] && ((left--)); do
		sleep 0.1
	done
	expect "host: QEMU's devices after device_del" 2 "$(files_of_qemu)"
}

# The first time, boot once more, and unplug the second time.
after_bare_dma() {
	if [[ ! $rebooted ]]; then
		expect "host: QEMU's devices" 3 "$(files_of_qemu)"
		rebooted=1 answer=reboot
	else
		unplug_target
		answer=unplugged
	fi
}

# What the guest asks to look at. Each state of its programs has its case.
look() { # state
	answer=go
	case $1 in
	bare_dma) after_bare_dma ;;
	dma_mapped) account ;;
	memory_on) expect "host: ivshmem's memory enable bit" 1 "$(memory_bit)" ;;
	memory_off) expect "host: ivshmem's memory enable bit" 0 "$(memory_bit)" ;;
	exit\ *) expect "guest: program's exit status" 0 "${1#exit }" ;;
	*) expect "guest: state" "a known one" "$1" ;;
	esac
}

# Sets $line, unless QEMU ends or is silent for minutes.
next_line() {
	local part left=100
	line=''
	until IFS= read -r -t 5 part <&4; do
		line+=$part
		kill -0 "$qemu" 2>/dev/null && ((left--)) || return
	done
	line+=$part
}

listen() {
	local line
	while next_line; do
		line=${line%$'\r'}
		case $line in
		@*)
			look "${line#@}"
			[[ $line != @exit* ]] || return 0
			echo "$answer" >&3 ;;
		*' -> '*) fact "$line" ;;
		*) fact "! guest: $line" ;;
		esac
	done
	fact "! guest: silent for too long, or not there"
	tail -n 5 "$run/qemu.log" "$run/console" >&2
}

stop_guest() {
	kill "$qemu" || fact "! host: QEMU ended by itself"
	wait "$qemu" || true
	qemu=
}

groups_free() {
	local bdf group free=0
	for bdf in "$edu" "$ivshmem" "$nvme"; do
		group=$(basename "$(readlink "/sys/bus/pci/devices/$bdf/iommu_group")")
		if (exec 5<>"/dev/vfio/$group") 2>/dev/null; then
			free=$((free + 1))
		fi
	done
	echo $free
}

pasids_in_use() { awk '$1 == "pasid" { n = $2 } END { print n }' n=unknown "$cgroup/misc.current"; }

# A process allocates what it is allowed to, and dies.
account_pasids() {
	local cgroup=/sys/fs/cgroup/vfio-test all=1000 none=0 hog count
	# Modules can be built for a kernel whose misc controller does not know PASIDs.
	if [[ $(</sys/module/ioasid_set/parameters/cgroup) == N ]]; then
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

# A device is told to use a PASID. QEMU emulates none that could.
account_jobs() {
	local jobs
	modprobe vfio_test
	mapfile -t jobs < <("$programs/pasid_jobs")
	expect "device: DMA with the PASID it may use" "done" "${jobs[0]-}"
	expect "device: the same beyond its window" "refused: window" "${jobs[1]-}"
	expect "device: the same with another PASID" "refused: PASID" "${jobs[2]-}"
	expect "device: the same when that is freed" "refused: PASID" "${jobs[3]-}"
}

[[ $# == 2 ]] || { usage >&2; exit 1; }
kernel=$1 programs=$2
for file in "$kernel" "$programs"/{guest_devices,guest_bare,pasid_hog,pasid_jobs}; do
	[[ -r $file ]] || missing "no file $file: run make first"
done
for tool in qemu-system-x86_64 busybox cpio; do
	command -v $tool >/dev/null || missing "$tool is missing: apt-get install qemu-system-x86 busybox-static cpio"
done
edu=$(find_device 0x1234 0x11e8)
ivshmem=$(find_device 0x1af4 0x1110)
nvme=$(find_device 0x1b36 0x0010)
[[ $edu && $ivshmem && $nvme ]] ||
	missing "no edu, ivshmem or nvme device: give vmtest.sh -q '-device edu ...'"
modprobe kvm_amd 2>/dev/null || modprobe kvm_intel 2>/dev/null || true
[[ -w /dev/kvm ]] || missing "no KVM: this needs a CPU with SVM or VMX (QEMU: -cpu max)"

run=$(mktemp -d)
qemu='' rebooted='' answer=''
trap '[[ ! $qemu ]] || kill -KILL "$qemu"; rm -rf "$run"' EXIT

"$here/bind.sh" -f "$edu" "$ivshmem" "$nvme" >/dev/null
expect "host: groups free, before QEMU starts" 3 "$(groups_free)"
make_initramfs
mkfifo "$run"/{guest,monitor}.{in,out}
# Both ways, or each end would wait for the other one to open.
exec 3<>"$run/guest.in" 4<>"$run/guest.out" 5<>"$run/monitor.in" 6<>"$run/monitor.out"
start_guest viommu -device intel-iommu,intremap=on,caching-mode=on \
	-device "vfio-pci,host=$edu,addr=10.0" -device "vfio-pci,host=$ivshmem,addr=11.0"
listen
guest_reports
stop_guest
# Without a virtual IOMMU, and with the target in a slot that it can be pulled from, by
# the slot's own button: the guest's kernel has no ACPI hotplug.
start_guest bare -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off \
	-device pcie-root-port,id=rp1,addr=11.0 -device "vfio-pci,host=$edu,addr=10.0" \
	-device "vfio-pci,host=$nvme,addr=12.0" -device "vfio-pci,host=$ivshmem,bus=rp1,id=target"
listen
stop_guest
account_pasids
account_jobs
expect "QEMU ended: mappings of devices left" 0 \
	"$(cat /proc/[0-9]*/maps 2>/dev/null | grep -cF '[vfio-device]' || true)"
expect "QEMU ended: groups free" 3 "$(groups_free)"
expect "QEMU ended: users of the vfio_pci module" 0 "$(</sys/module/vfio_pci/refcnt)"

if ((failed)); then
	echo "FAILED: $failed of $facts facts are not as they should be"
	exit 1
fi
echo "passed: all $facts facts are as they should be"
