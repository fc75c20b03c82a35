#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Boot a kernel in QEMU on the root file system of this host and run one
# command there. See usage() for the contract.
#
# The host's root is exported read-only over 9p; vmtest-init.sh puts a tmpfs
# over it, so whatever the command writes is gone with the machine. The
# command's stdout, stderr and exit status travel over three virtio-serial
# ports: the serial console carries nothing but what the kernel prints, and is
# searched for reports afterwards.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
top=$(readlink -f "$here/../../../..")

. "$here/kernel_state.sh"

usage() {
	cat <<-EOF
	usage: ${0##*/} [-k bzImage] [-m modules_dir] [-q 'QEMU arguments']...
	       [-a 'kernel arguments'] [-l directory] [-M memory] [-c cpus]
	       [-t seconds] -- command [argument...]

	Boots the kernel (default: the last build's), loads the VFIO modules and runs
	the command as root in the current directory of this host's root file system,
	which it sees through a copy-on-write overlay.

	  -k  kernel image                  (default: build/bzImage)
	  -m  directory with modules.dep    (default: build/modules)
	  -q  more QEMU arguments, split at white space; may be repeated
	  -a  more kernel arguments
	  -l  directory of files that the machine sees on top of this host's root
	  -M  memory, in QEMU's notation    (default: 2G)
	  -c  number of CPUs                (default: 2)
	  -t  seconds the command may take  (default: 300)

	Without KVM, VMTEST_TCG_THREAD=multi gives each CPU a thread of its own: twice
	as fast where two CPUs are busy, but QEMU has bugs there.

	Exit status: the command's; 124 when it took too long; 125 when the kernel
	panicked or printed a WARNING, BUG, lockdep or sanitizer report, which is then
	shown; 126 when the machine could not be started.
	EOF
}

die() {
	echo "vmtest: $*" >&2
	exit 126
}

kernel='' modules='' append='' layer='' memory=2G cpus=2 limit=300
qemu_extra=()
while getopts k:m:q:a:l:M:c:t:h opt; do
	case $opt in
	k) kernel=$OPTARG ;;
	m) modules=$OPTARG ;;
	q) read -ra words <<<"$OPTARG"; qemu_extra+=("${words[@]}") ;;
	a) append=$OPTARG ;;
	l) layer=$OPTARG ;;
	M) memory=$OPTARG ;;
	c) cpus=$OPTARG ;;
	t) limit=$OPTARG ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 126 ;;
	esac
done
shift $((OPTIND - 1))
[[ $# -gt 0 ]] || { usage >&2; exit 126; }
[[ $limit =~ ^[1-9][0-9]*$ ]] || die "-t takes whole seconds, not '$limit'"

# The directory that scripts/build leaves its links in, seen from the
# repository's root or from the generated kernel tree inside it.
for build in "$top/build" "$top/.."; do
	[[ -e $build/bzImage ]] && break
done
kernel=${kernel:-$build/bzImage}
modules=${modules:-$build/modules}
[[ -r $kernel ]] || die "no kernel at $kernel: run make first, or name one with -k"
modules=$(readlink -f "$modules") || true
[[ -r $modules/modules.dep ]] ||
	die "no modules.dep in ${modules:-the modules directory}: run make first, name a directory with -m, or run depmod"
if [[ $layer ]]; then
	[[ -d $layer ]] || die "-l: no directory $layer"
fi
for tool in qemu-system-x86_64 busybox cpio; do
	command -v $tool >/dev/null || die "$tool is missing: apt-get install qemu-system-x86 busybox-static cpio"
done

run=$(mktemp -d "${TMPDIR:-/tmp}/vmtest.XXXXXX") || die "no directory for the machine's files"
qemu_pid='' early=1
# shellcheck disable=SC2317 # called by the trap
cleanup() {
	if [[ $qemu_pid ]]; then
		kill -KILL "$qemu_pid" 2>/dev/null || true
		wait "$qemu_pid" 2>/dev/null || true
	fi
	rm -rf "$run"
	# It went wrong before the machine was there: not with the command's status.
	[[ ! $early ]] || exit 126
}
trap cleanup EXIT
trap 'early=; exit 130' INT
trap 'early=; exit 143' TERM HUP

# Print, in loading order, the files of module $1 and of what it needs; nothing
# when it is built in.
module_files() {
	local line
	line=$(grep -E "(^|/)$1\.ko(\.[a-z0-9]+)?:" "$modules/modules.dep") || {
		grep -q "/$1\.ko" "$modules/modules.builtin" ||
			die "$modules has no module $1 and its kernel does not have it built in"
		return 0
	}
	tr ' ' '\n' <<<"${line/:/}" | sed '/^$/d' | tac
}

# A few modules (on distribution kernels), busybox and the init script.
make_initramfs() {
	local root=$run/initramfs name file copy
	mkdir -p "$root"/{bin,modules,dev,proc,sys,new}
	cp "$(command -v busybox)" "$root/bin/busybox"
	cp "$here/vmtest-init.sh" "$root/init"
	for name in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
		module_files $name
	done | awk '!seen[$0]++' >"$run/load"
	: >"$root/modules/load"
	while read -r file; do
		copy=$(basename "$file")
		case $copy in
		*.xz) copy=${copy%.xz}; xz -dc "$modules/$file" >"$root/modules/$copy" ;;
		*.zst) copy=${copy%.zst}; zstd -qdc "$modules/$file" >"$root/modules/$copy" ;;
		*) cp "$modules/$file" "$root/modules/$copy" ;;
		esac
		echo "$copy" >>"$root/modules/load"
	done <"$run/load"
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$run/initramfs.cpio"
}

# What vmtest-run.sh needs in the guest; it finds this directory on the 9p root.
write_job() {
	printf '%s\0' "$@" >"$run/argv"
	printf '%s' "$PWD" >"$run/cwd"
	printf '%s' "$modules" >"$run/modules"
	cp "$here/vmtest-run.sh" "$run/run.sh"
}

qemu_arguments() {
	qemu=(qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
		-cpu max -m "$memory" -smp "$cpus")
	# All CPUs in one thread: with a thread each, QEMU 7.2 crashes when a
	# BAR is moved while another CPU uses one (fixed in 8.2), and now and
	# then a CPU gets no interrupt any more (seen up to 10.0).
	# /dev/kvm may open on a machine that cannot run a guest; the CPU
	# flags tell.
	if [[ -w /dev/kvm ]] && grep -qwE 'vmx|svm' /proc/cpuinfo; then
		qemu+=(-accel kvm -machine "q35,kernel-irqchip=split")
	else
		qemu+=(-accel "tcg,thread=${VMTEST_TCG_THREAD:-single}" -machine q35)
		# A busy host stalls the machine for longer than the kernel thinks possible.
		append="watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 $append"
	fi
	# no_timer_check: at boot, the timer has to tick within a number of
	# cycles that on a busy host are over before QEMU can emulate one.
	qemu+=(-device "intel-iommu,intremap=on,caching-mode=on,x-scalable-mode=on,device-iotlb=on"
		-kernel "$kernel" -initrd "$run/initramfs.cpio"
		-append "console=ttyS0 ignore_loglevel panic=-1 oops=panic no_timer_check intel_iommu=on,sm_on vmtest=$run${layer:+ vmtest_layer=1} $append"
		-serial "file:$run/console"
		-fsdev "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"
		-device "virtio-9p-pci,fsdev=root,mount_tag=root,addr=1c.0"
		-device "virtio-serial-pci,addr=1d.0"
		-add-fd "fd=3,set=1" -add-fd "fd=4,set=2"
		-chardev "file,id=out,path=/dev/fdset/1,append=on"
		-chardev "file,id=err,path=/dev/fdset/2,append=on"
		-chardev "file,id=status,path=$run/status"
		-device "virtserialport,chardev=out,name=out"
		-device "virtserialport,chardev=err,name=err"
		-device "virtserialport,chardev=status,name=status"
		"${qemu_extra[@]}")
	if [[ $layer ]]; then
		qemu+=(-fsdev "local,id=layer,path=${layer//,/,,},security_model=none,readonly=on,multidevs=remap"
			-device "virtio-9p-pci,fsdev=layer,mount_tag=layer,addr=1e.0")
	fi
}

running() { kill -0 "$qemu_pid" 2>/dev/null; }

# Wait until the guest has written $1 to its status port, QEMU has ended, or $2
# seconds have passed; false only in the last case.
wait_for() {
	local end=$((SECONDS + $2))
	until grep -q "^$1" "$run/status" 2>/dev/null || ! running; do
		((SECONDS < end)) || return 1
		sleep 0.05
	done
}

stop_machine() {
	kill -KILL "$qemu_pid" 2>/dev/null || true
	wait "$qemu_pid" 2>/dev/null || true
	qemu_pid=
}

# A busy host takes its time to boot: that the console goes on is enough, for a while.
booted() {
	local left=5 size=0 before=-1
	until wait_for ready 120; do
		before=$size
		size=$(stat -c %s "$run/console")
		((size > before && --left)) || return 1
	done
	grep -q ^ready "$run/status"
}

# Boot and run once. Sets $result: an exit status, or noboot.
boot() {
	: >"$run/console"
	: >"$run/status"
	"${qemu[@]}" 3>&3 4>&4 </dev/null >"$run/qemu.log" 2>&1 &
	qemu_pid=$!
	result=noboot
	if booted; then
		result=124
		# The status comes with the command's end; the machine ends
		# itself right after.
		if wait_for exit "$limit"; then
			result=$(sed -n 's/^exit //p' "$run/status")
			wait_for never 120 || result=124
		fi
	fi
	stop_machine
}

# Show each report with what follows it, once.
kernel_reports() {
	grep -aqE "$reports" "$run/console" || return 1
	echo "vmtest: the kernel reported:" >&2
	grep -aE -A40 -m3 "$reports" "$run/console" | tr -d '\r' >&2
}

make_initramfs
write_job "$@"
qemu_arguments
early=''

# QEMU must append to pipes: a file that stdout was redirected to would
# otherwise be truncated, and a terminal refused.
exec 3> >(exec cat) 4> >(exec cat >&2)
boot
if [[ $result == noboot && -s $run/console ]] && ! grep -aqE "$reports" "$run/console"; then
	echo "vmtest: the machine never reached the command (QEMU hangs sometimes), booting it once more" >&2
	boot
fi
exec 3>&- 4>&-
wait

if kernel_reports; then
	exit 125
fi
case $result in
noboot)
	tail -n 5 "$run/qemu.log" >&2
	tail -n 20 "$run/console" | tr -d '\r' >&2
	die "the machine never reached the command" ;;
'')
	tail -n 5 "$run/qemu.log" >&2
	die "the machine ended before the command did" ;;
124)
	echo "vmtest: stopped after $limit s (-t)" >&2 ;;
esac
exit "$result"
