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
	       [-a 'kernel arguments'] [-i IOMMU] [-l directory] [-M memory] [-c cpus]
	       [-g] [-t seconds] -- command [argument...]

	Boots the kernel (default: the last build's), loads the VFIO modules and runs
	the command as root in the current directory of this host's root file system,
	which it sees through a copy-on-write overlay.

	  -k  kernel image                  (default: build/bzImage)
	  -m  directory with modules.dep    (default: build/modules)
	  -q  more QEMU arguments, split at white space; may be repeated
	  -a  more kernel arguments
	  -i  vtd, vtd-legacy, vtd-nosuperpage, amd or virtio (default: vtd). virtio needs
	      a kernel with CONFIG_VIRTIO_IOMMU, and cannot remap interrupts
	  -l  directory of files that the machine sees on top of this host's root
	  -M  memory, in QEMU's notation    (default: 2G)
	  -c  number of CPUs                (default: 2)
	  -g  the command runs a guest: give the machine a periodic tick where QEMU
	      loses interrupts of a CPU that does (before 10.2, without KVM)
	  -t  seconds the command may take  (default: 300)

	With devices, which bind.sh gives to vfio-pci and prints with their groups:

	  ${0##*/} -q '-device edu,addr=10.0,dma_mask=0xffffffffff' \\
	    -q '-device e1000e,addr=11.0' -- bash -c \\
	    '$here/bind.sh -f --all-test-devices && ls -l /dev/vfio'

	Without dma_mask= an edu device reaches only the first 256 MiB of its address
	space (28 bits): IOVAs of a test have to be below, or the mask has to be wider.

	Without KVM, VMTEST_TCG_THREAD=multi gives each CPU a thread of its own: twice
	as fast where two CPUs are busy. QEMU before 8.2 crashes there when a BAR is
	moved while another CPU uses one.

	The command may suspend the machine up to the point that /sys/power/pm_test
	names, "devices" for example, where the modules have vfio_test_awake. Without,
	nothing of the host could be read afterwards, and /sys/power/state is read-only.

	Exit status: the command's; 123 when the machine stood still, without output
	and without CPU time for VMTEST_STILL seconds (default: 120; 0: never look, for
	a machine that a debugger stops); 124 when it took too long; 125 when the kernel
	panicked or printed a WARNING, BUG, lockdep or sanitizer report, which is then
	shown; 126 when the machine could not be started.
	EOF
}

die() {
	echo "vmtest: $*" >&2
	exit 126
}

kernel='' modules='' append='' iommu=vtd layer='' memory=2G cpus=2 guest='' limit=300
still=${VMTEST_STILL:-120}
qemu_extra=()
while getopts k:m:q:a:i:l:M:c:gt:h opt; do
	case $opt in
	k) kernel=$OPTARG ;;
	m) modules=$OPTARG ;;
	q) read -ra words <<<"$OPTARG"; qemu_extra+=("${words[@]}") ;;
	a) append=$OPTARG ;;
	i) iommu=$OPTARG ;;
	l) layer=$OPTARG ;;
	M) memory=$OPTARG ;;
	c) cpus=$OPTARG ;;
	g) guest=1 ;;
	t) limit=$OPTARG ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 126 ;;
	esac
done
shift $((OPTIND - 1))
[[ $# -gt 0 ]] || { usage >&2; exit 126; }
[[ $limit =~ ^[1-9][0-9]*$ ]] || die "-t takes whole seconds, not '$limit'"
[[ $still =~ ^(0|[1-9][0-9]*)$ ]] || die "VMTEST_STILL takes whole seconds, not '$still'"

# The IOMMU as QEMU's device and as arguments of the kernel. virtio-iommu has no
# interrupt remapping, so VFIO refuses all groups without the parameter.
vtd=intel-iommu,intremap=on,caching-mode=on,x-scalable-mode=on,device-iotlb=on
case $iommu in
vtd) iommu=$vtd append="intel_iommu=on,sm_on $append" ;;
vtd-legacy) iommu=$vtd append="intel_iommu=on,sm_off $append" ;;
vtd-nosuperpage) iommu=$vtd append="intel_iommu=on,sm_on,sp_off $append" ;;
amd) iommu=amd-iommu,intremap=on,device-iotlb=on ;;
virtio) iommu=virtio-iommu-pci append="vfio_iommu_type1.allow_unsafe_interrupts=1 $append" ;;
*) die "-i: no IOMMU '$iommu': choose vtd, vtd-legacy, vtd-nosuperpage, amd or virtio" ;;
esac

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

# The release of a bzImage: its header has "HdrS" at 514, and at 526 the offset of a string
# that begins with it. Nothing for another kind of image.
kernel_release() {
	local offset string
	[[ $(od -An -tx4 -j 514 -N 4 "$kernel") == *53726448 ]] || return 0
	offset=$(od -An -tu2 -j 526 -N 2 "$kernel")
	read -r string _ < <(tail -c +$((offset + 513)) "$kernel" | head -c 200 | tr '\0' '\n')
	echo "$string"
}

# The release that the modules were built for, from one of them
modules_release() {
	local file
	file=$(sed -n '1s/:.*//p' "$modules/modules.dep")
	[[ $file ]] || return 0
	case $file in
	*.xz) xz -dc "$modules/$file" ;;
	*.zst) zstd -qdc "$modules/$file" ;;
	*) cat "$modules/$file" ;;
	esac | tr '\0' '\n' | sed -n 's/^vermagic=\([^ ]*\) .*/\1/p'
}

check_releases() {
	local ours theirs
	ours=$(kernel_release)
	theirs=$(modules_release)
	[[ ! $ours || ! $theirs || $ours == "$theirs" ]] ||
		die "the kernel is $ours and the modules are for $theirs: name those of one build with -k and -m"
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

# VMRUN in QEMU before 10.2 (helper_vmrun() in target/i386/tcg) sets a bit in the
# CPU's interrupt_request without QEMU's lock, and not atomically. When another thread
# sets one meanwhile, of the local APIC's timer for example, that one can be lost: the
# APIC has the interrupt pending, but the CPU is not told of it before the next one.
# Without a periodic tick there may be no next one, and the CPU is halted for ever.
loses_interrupts() {
	local version
	version=$(qemu-system-x86_64 --version | sed -n 's/.*version \([0-9.]*\).*/\1/p')
	[[ $(printf '%s\n' 10.2 "${version:-0}" | sort -V | head -1) != 10.2 ]]
}

qemu_arguments() {
	qemu=(qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
		-cpu max -m "$memory" -smp "$cpus")
	# All CPUs in one thread: with a thread each, QEMU 7.2 crashes when a
	# BAR is moved while another CPU uses one (fixed in 8.2).
	# /dev/kvm may open on a machine that cannot run a guest; the CPU
	# flags tell.
	if [[ -w /dev/kvm ]] && grep -qwE 'vmx|svm' /proc/cpuinfo; then
		qemu+=(-accel kvm -machine "q35,kernel-irqchip=split")
	else
		qemu+=(-accel "tcg,thread=${VMTEST_TCG_THREAD:-single}" -machine q35)
		# A busy host stalls the machine for longer than the kernel thinks possible.
		append="watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 $append"
		if [[ $guest ]] && loses_interrupts; then
			append="nohz=off highres=off $append"
		fi
	fi
	# no_timer_check: at boot, the timer has to tick within a number of
	# cycles that on a busy host are over before QEMU can emulate one.
	qemu+=(-device "$iommu"
		-kernel "$kernel" -initrd "$run/initramfs.cpio"
		-append "console=ttyS0 ignore_loglevel panic=-1 oops=panic no_timer_check vmtest=$run${layer:+ vmtest_layer=1} $append"
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

# CPU time that all threads of QEMU have had, in ns, to $now
cpu_time() {
	local file ns
	now=0
	for file in "/proc/$qemu_pid/task/"*/schedstat; do
		! read -r ns _ <"$file" || now=$((now + ns))
	done 2>/dev/null
}

look_from_now() { looked=$SECONDS begun=$SECONDS used=0 console=0 stood_still=''; }

# True when nothing has happened for $still seconds, by a look each second. A QEMU that
# was stopped, or whose CPUs are halted with no timer armed, has no CPU time at all. A
# machine that only waits for the end of a sleep has 8 ms a second under emulation, for
# its kernel's own timers, and with KVM some of that. The limit is 1 us a second. There
# is no output without, but the console is cheap to look at, too.
stands_still() {
	local now size
	((still && SECONDS > looked)) || return 1
	looked=$SECONDS
	cpu_time
	size=$(stat -c %s "$run/console")
	if ((now < used || now - used > still * 1000 || size != console)); then
		begun=$SECONDS used=$now console=$size
	fi
	((SECONDS - begun >= still)) || return 1
	echo "vmtest: the machine stands still: no output and no CPU time for $still s" >&2
	stood_still=1
}

# Has the guest written $1 to its status port? Without a process for each look.
said() {
	local line
	while read -r line; do
		[[ $line != "$1"* ]] || return 0
	done <"$run/status"
	return 1
}

# Wait until the guest has written $1 to its status port, QEMU has ended, $2 seconds
# have passed, or the machine stands still; false only in the last two cases.
wait_for() {
	local end=$((SECONDS + $2))
	until said "$1" || ! running; do
		((SECONDS < end)) || return 1
		! stands_still || return 1
		sleep 0.2
	done
}

stop_machine() {
	kill -KILL "$qemu_pid" 2>/dev/null || true
	wait "$qemu_pid" 2>/dev/null || true
	qemu_pid=
}

# A busy host takes its time to boot, so CPU time without anything on the console is what
# counts: a minute. All of the boot needs less.
booted() {
	local size before=-1 now since=0 end=$((SECONDS + 1200))
	until wait_for ready 10; do
		[[ ! $stood_still ]] || return 1
		cpu_time
		size=$(stat -c %s "$run/console")
		((size == before)) || before=$size since=$now
		((now - since < 60 * 1000 ** 3 && SECONDS < end)) || return 1
	done
	said ready
}

# Boot and run once. Sets $result: an exit status, or noboot.
boot() {
	: >"$run/console"
	: >"$run/status"
	look_from_now
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
		[[ ! $stood_still ]] || result=123
	fi
	stop_machine
}

# Show each report with what follows it, once.
kernel_reports() {
	grep -aqE "$reports" "$run/console" || return 1
	echo "vmtest: the kernel reported:" >&2
	grep -aE -A40 -m3 "$reports" "$run/console" | tr -d '\r' >&2
}

check_releases
make_initramfs
write_job "$@"
qemu_arguments
early=''

# QEMU must append to pipes: a file that stdout was redirected to would
# otherwise be truncated, and a terminal refused.
exec 3> >(exec cat) 4> >(exec cat >&2)
boot
if [[ $result == noboot && -s $run/console ]] && ! grep -aqE "$reports" "$run/console"; then
	echo "vmtest: the machine never reached the command, booting it once more" >&2
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
