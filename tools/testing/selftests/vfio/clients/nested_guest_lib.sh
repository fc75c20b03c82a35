# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154
#
# Sourced by nested_guest.sh and libvirt_guest.sh, whose guests run the same programs,
# by nested_guest_init.sh. A guest prints facts, and a line "@state" when it wants the
# host to look, which answers with a line.
#
# They set $run, a directory, $programs, another one, $qemu, the process, and $edu,
# $ivshmem, $nvme; look() has a case for each state and may set $answer. The guest's
# second serial port is at the file descriptors 3 and 4.

# shellcheck source=client_lib.sh
. "$here/client_lib.sh"

answer='' listening='' address=''
declare -A sums

find_machine() { # directory with the programs
	local file
	for file in "$@"; do
		[[ -r $file ]] || missing "no file $file: run make first"
	done
	edu=$(find_devices 0x1234 0x11e8)
	ivshmem=$(find_devices 0x1af4 0x1110)
	nvme=$(find_devices 0x1b36 0x0010)
	[[ $edu && $ivshmem && $nvme ]] ||
		missing "no edu, ivshmem or nvme device: give vmtest.sh -q '-device edu ...'"
	modprobe kvm_amd 2>/dev/null || modprobe kvm_intel 2>/dev/null || true
	[[ -e /dev/kvm ]] || missing "no KVM: this needs a CPU with SVM or VMX (QEMU: -cpu max)"
}

module_files() { # module...
	# "insmod FILE", in loading order; nothing for what is built in
	modprobe -a --show-depends "$@" | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

pack_modules() { # list, module...
	local list=$1 file
	shift
	module_files "$@" | while read -r file; do
		cp -n "$file" "$run/initramfs/modules/"
		basename "$file"
	done >"$run/initramfs/modules/$list"
}

make_initramfs() {
	local root=$run/initramfs
	mkdir -p "$root"/{bin,modules,dev,proc,sys,mnt}
	cp "$(command -v busybox)" "$root/bin/busybox"
	cp "$programs"/guest_{bare,devices} "$root/bin/"
	cp "$here/nested_guest_init.sh" "$root/init"
	pack_modules load vfio_iommu_type1 vfio-pci
	pack_modules disk.load nvme ext2
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$run/initramfs.cpio"
}

files_of_qemu() {
	find "/proc/$qemu/fd" -printf '%l\n' 2>/dev/null | grep -cF '[vfio-device]' || true
}

qemu_has() { [[ $(files_of_qemu) == "$1" ]]; }

guest_reports() {
	local what='WARNING|BUG|Oops|panic' found=none
	if grep -aqE "$what" "$run/console"; then
		found=$(grep -aoEm1 "($what).*" "$run/console")
		grep -aE -A60 -m1 "$what" "$run/console" >&2
	fi
	expect "host: reports of the guest's kernel" none "$found"
}

# A file on nvme's file system, by its sum: that of the guest which wrote it
file_seen() { # who, name, sum
	if [[ ${sums[$2]-} ]]; then
		expect "$1: $2, as a guest wrote it" "${sums[$2]}" "$3"
	fi
	sums[$2]=$3
}

# The host's own driver has the device now.
files_on_host() {
	local file sum
	modprobe ext2
	within 300 test -b /dev/nvme0n1 || true
	mkdir -p "$run/mnt"
	mount -t ext2 -o ro /dev/nvme0n1 "$run/mnt"
	for file in "${!sums[@]}"; do
		read -r sum _ < <(sha256sum "$run/mnt/$file") || true
		file_seen host "$file" "$sum"
	done
	umount "$run/mnt"
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

# Until look() says that this was all
listen() {
	local line
	listening=1
	while [[ $listening ]]; do
		next_line || break
		line=${line%$'\r'}
		case $line in
		@*)
			answer=go
			look "${line#@}"
			[[ ! $answer ]] || echo "$answer" >&3 ;;
		*' -> '*) fact "$line" ;;
		*) fact "! guest: $line" ;;
		esac
	done
	[[ $listening ]] || return 0
	fact "! guest: silent for too long, or not there"
	tail -n 5 "$run/qemu.log" "$run/console" >&2 || true
}

# What a guest asks in any case
look_common() { # state
	case $1 in
	file\ *)
		# shellcheck disable=SC2086 # a name and a sum
		file_seen guest ${1#file } ;;
	exit\ *)
		expect "guest: program's exit status" 0 "${1#exit }"
		listening='' answer='' ;;
	*) expect "guest: state" "a known one" "$1" ;;
	esac
}

# The guest wrote to ivshmem without end, and has ended amid that.
no_more_dma() {
	expect "host: DMA that arrives after that" none \
		"$("$programs/guest_gone" "$edu" "$ivshmem" "$address")"
}
