#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The contract of vmtest.sh: exit status, output, arguments, options. -k and -m name
# the kernel, as in vmtest.sh. Names are of tests, all by default: "suspend".
#
# Tests are called by the names that declare finds; what is in single quotes is
# for the machine's shell.
# shellcheck disable=SC2317,SC2016
set -u

here=$(dirname "$(readlink -f "$0")")
kernel=()
while getopts k:m:h opt; do
	case $opt in
	k | m) kernel+=("-$opt" "$OPTARG") ;;
	h) echo "usage: ${0##*/} [-k bzImage] [-m modules_dir] [test...]"; exit 0 ;;
	*) exit 1 ;;
	esac
done
shift $((OPTIND - 1))

# shellcheck source=tap_lib.sh
. "$here/tap_lib.sh"
# shellcheck source=kernel_state.sh
. "$here/kernel_state.sh"

show_output() { tail -n 20 "$tmp/err"; }

vm() { # sets $status; output is in $tmp/out and $tmp/err
	# With one CPU it boots faster, and nothing here needs two.
	"$here/vmtest.sh" "${kernel[@]}" -c 1 "$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
}

says() { grep -q -- "$1" "$tmp/err"; }
silent() { [[ ! -s $tmp/err ]]; }
printed() { [[ $(<"$tmp/out") == "$1" ]]; }

# A machine for all that an ordinary command may notice: booted once, and each test
# looks at its part. The command prints a megabyte of any bytes, then sections.
args=('two words' '' "it's" '"double"' $'new\nline' '*' '$HOME' "\\" '-c' $'\t' 'é')
ordinary() {
	[[ -e $tmp/data ]] || run_ordinary
	cp "$tmp/ordinary-err" "$tmp/err"
	status=$(<"$tmp/ordinary-status")
}

run_ordinary() {
	head -c 1000000 /dev/urandom >"$tmp/data"
	mkdir "$tmp/a directory"
	cat >"$tmp/command" <<-'EOF'
		cat "$1/data"
		printf '\n== directory\n%s\n== arguments\n' "$(pwd)"
		printf '[%s]\n' "${@:2}"
		echo "== written"
		echo x >"$1/from-machine" && cat "$1/from-machine"
		echo "== machine"
		nproc
		awk '/MemTotal/ { print ($2 > 400000 && $2 < 717000) }' /proc/meminfo
		grep -o "vmtest_word=." /proc/cmdline
		cat /sys/bus/pci/devices/0000:00:1[01].0/device
		ls -d /sys/bus/pci/drivers/vfio-pci
		grep -o intel_iommu=on /proc/cmdline
		printf %s 'err\0\r\n' >&2
		echo to-stderr >/dev/stderr
		sleep 1000 &
		exit 37
	EOF
	echo before >"$tmp/appended"
	cd "$tmp/a directory" || return
	"$here/vmtest.sh" "${kernel[@]}" -c 1 -M 700M -a 'vmtest_word=1' -t 200 \
		-q '-device edu,addr=10.0' -q '-device  edu,addr=11.0' -- \
		bash "$tmp/command" "$tmp" "${args[@]}" >>"$tmp/appended" 2>"$tmp/ordinary-err"
	echo $? >"$tmp/ordinary-status"
	cd "$here" || return
	tail -n +2 "$tmp/appended" >"$tmp/ordinary-out"
}

section() { # name, wanted lines...
	[[ $(tail -c +1000001 "$tmp/ordinary-out" | sed -n "/^== $1\$/,/^== /{//!p}") == \
	   "$(printf '%s\n' "${@:2}")" ]]
}

# Also: who was left behind has the pipes open, and nobody waits for it.
test_status() {
	ordinary
	expect "status" returned 37
}

# Bytes of every value and a megabyte of them; two streams that stay apart.
test_output() {
	ordinary
	expect "binary output" cmp -n 1000000 "$tmp/data" "$tmp/ordinary-out"
	printf '%s' 'err\0\r\n' >"$tmp/want"
	echo to-stderr >>"$tmp/want"
	expect "stderr" cmp "$tmp/want" "$tmp/err"
}

# A redirected file is appended to, like by any other command.
test_redirection() {
	ordinary
	expect "the line before" test "$(head -n 1 "$tmp/appended" | tr -d '\0')" == before
}

test_arguments() {
	ordinary
	expect "arguments" section arguments "$(printf '[%s]\n' "${args[@]}")"
}

test_working_directory() {
	ordinary
	expect "directory" section directory "$tmp/a directory"
}

# Writes succeed, and stay in the machine.
test_writable_root() {
	ordinary
	expect "what was written" section written x
	expect "no trace of it" test ! -e "$tmp/from-machine"
}

test_options() {
	ordinary
	expect "-c, -M, -a, -q, VFIO, IOMMU" section machine 1 1 vmtest_word=1 \
		0x11e8 0x11e8 /sys/bus/pci/drivers/vfio-pci intel_iommu=on
}

# iommu NAME SYSFS WORD: the kernel has found it, and was booted for that mode of it
iommu() {
	vm -i "$1" -- bash -c 'cd /sys/class/iommu && ls && grep -o " $1" /proc/cmdline; exit 9' "" "$3"
	expect "$1: status" returned 9
	expect "$1: what the kernel has found" eval "grep -qE '^$2\$' '$tmp/out'"
	expect "$1: how it was booted" eval "grep -qF -- '$3' '$tmp/out'"
}

test_iommu_legacy() { iommu vtd-legacy dmar0 intel_iommu=on,sm_off; }
test_iommu_nosuperpage() { iommu vtd-nosuperpage dmar0 intel_iommu=on,sm_on,sp_off; }

test_iommu_amd() {
	iommu amd ivhd0 vmtest=
	((bad)) || expect "no other" eval "! grep -q dmar '$tmp/out'"
}

# Of the debug kernel, Debian's does not have it.
test_iommu_virtio() {
	vm -i virtio -- bash -c '[[ -d /sys/bus/virtio/drivers/virtio_iommu ]]'
	if returned 1; then
		skip="the kernel has no virtio-iommu: CONFIG_VIRTIO_IOMMU=y"
		return
	fi
	iommu virtio 'virtio.*|0000:.*' vfio_iommu_type1.allow_unsafe_interrupts=1
}

# Files of the layer are there, also instead of the host's; the rest of the host's are
# as well; what is written does not come back.
test_layer() {
	local layer="$tmp/a,layer"

	mkdir -p "$layer/etc" "$layer/only-here"
	echo new >"$layer/only-here/file"
	echo replaced >"$layer/etc/passwd"
	vm -l "$layer" -- bash -c 'cat /only-here/file /etc/passwd &&
		test -e /etc/group && echo changed >/only-here/file && cat /only-here/file'
	expect "status" returned 0
	expect "its files" printed $'new\nreplaced\nchanged'
	expect "its file afterwards" test "$(<"$layer/only-here/file")" == new
	vm -l "$tmp/no-layer" -- true
	expect "no layer" returned 126
	expect "which" says "$tmp/no-layer"
}

# Before a machine is booted
test_mixed_builds() {
	local modules=$tmp/other/lib/modules/5.0.0-other
	mkdir -p "$modules/kernel"
	echo "kernel/other.ko:" >"$modules/modules.dep"
	printf 'license=GPL\0vermagic=5.0.0-other SMP mod_unload \0' >"$modules/kernel/other.ko"
	vm -m "$modules" -- true
	expect "status" returned 126
	expect "the reason" says '^vmtest: the kernel is .* and the modules are for 5\.0\.0-other: name'
	expect "no more" test "$(wc -l <"$tmp/err")" == 1
	xz "$modules/kernel/other.ko"
	sed -i 's/\.ko/&.xz/' "$modules/modules.dep"
	vm -m "$modules" -- true
	expect "compressed" says 'for 5\.0\.0-other: name'
}

# Stopped from outside, as nothing in the machine can make all of it stand still.
test_stands_still() {
	local pid qemu begin
	mkdir "$tmp/still"
	: >"$tmp/out"
	TMPDIR=$tmp/still VMTEST_STILL=10 "$here/vmtest.sh" "${kernel[@]}" -c 1 -- \
		bash -c 'echo started; sleep 1000' >"$tmp/out" 2>"$tmp/err" &
	pid=$!
	until [[ -s $tmp/out ]] || ! kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
	qemu=$(pgrep -P "$pid" qemu)
	kill -STOP "$qemu"
	begin=$SECONDS
	wait "$pid"
	status=$?
	expect "status" returned 123
	expect "the reason" says 'stands still: no output and no CPU time for 10 s'
	expect "within a minute" test $((SECONDS - begin)) -lt 60
	expect "no machine" test ! -d "/proc/$qemu"
}

# Nor before it has booted
test_stands_still_at_boot() {
	VMTEST_STILL=3 vm -q -S -- true
	expect "status" returned 126
	expect "the reason" says 'stands still: no output and no CPU time for 3 s'
}

# Silent for twice the time, busy at first, then waiting
test_does_not_stand_still() {
	VMTEST_STILL=10 vm -- bash -c 'while ((SECONDS < 20)); do :; done; sleep 20; exit 6'
	expect "status" returned 6
	expect "nothing said" silent
}

# A QEMU that only tells its version and the arguments it got; fails like one that
# cannot start.
fake_qemu() { # version
	mkdir -p "$tmp/fake"
	cat >"$tmp/fake/qemu-system-x86_64" <<-EOF
		#!/bin/sh
		echo "QEMU emulator version $1 (Debian 1:$1+ds-1)"
		printf '%s\n' "\$@" >"$tmp/fake/arguments"
		exit 1
	EOF
	chmod +x "$tmp/fake/qemu-system-x86_64"
}

# The kernel has a tick that is periodic where it runs a guest and QEMU is old.
periodic_with() { # version, option...
	fake_qemu "$1"
	PATH=$tmp/fake:$PATH vm "${@:2}" -- true
	grep -q 'nohz=off highres=off' "$tmp/fake/arguments"
}

test_tick_by_version() {
	local version
	fake_qemu 7.2.22
	PATH=$tmp/fake:$PATH vm -g -- true
	if grep -qx kvm "$tmp/fake/arguments"; then
		skip="QEMU has KVM here, and loses nothing"
		return
	fi
	for version in 7.2.22 8.2.2 10.0.2 10.1.50; do
		expect "$version, with a guest" periodic_with "$version" -g
		expect "$version, without" eval "! periodic_with $version"
	done
	for version in 10.2.0 10.10.0 11.0.1; do
		expect "$version" eval "! periodic_with $version -g"
	done
	# The kernel understands it.
	vm -g -a 'nohz=off highres=off' -- cat /proc/timer_list
	expect "status" returned 0
	expect "the local APIC's timer" grep -q 'event_handler:  tick_handle_periodic' "$tmp/out"
	expect "no other" eval "! grep -qE 'hrtimer_interrupt|nohz_mode *: [12]' '$tmp/out'"
}

# Devices are suspended and resumed; all of the machine is there afterwards.
test_suspend() {
	vm -- bash -c 'cd /sys/power && echo devices >pm_test || exit 77
		echo 1 >/sys/module/suspend/parameters/pm_test_delay
		echo mem >state || exit 78
		/bin/ls -d /usr/share/doc; exit 7'
	if returned 77; then
		skip="the kernel cannot suspend for a test: CONFIG_PM_DEBUG=y"
	elif returned 78; then
		skip="no module vfio_test_awake: make, or make modules"
		expect "the reason" says 'Read-only file system'
	else
		expect "status" returned 7
		expect "what it printed" printed /usr/share/doc
		expect "no report" silent
	fi
}

test_signal() {
	vm -- bash -c 'kill -KILL $$'
	expect "status of a killed command" returned 137
	expect "no output" silent
}

test_no_such_command() {
	vm -- /no/such/command
	expect "status" returned 127
}

test_time_out() {
	vm -t 20 -- bash -c 'echo started; sleep 1000'
	expect "status" returned 124
	expect "output until then" printed started
	expect "the reason" says '-t'
}

# The real thing, by CONFIG_LKDTM.
test_report() { # crash type, what the kernel says of it
	vm -- bash -c "modprobe lkdtm || exit 77
		echo $1 >/sys/kernel/debug/provoke-crash/DIRECT
		exit 3"
	if returned 77; then
		skip="the kernel has no lkdtm: CONFIG_LKDTM=m"
		return
	fi
	expect "status" returned 125
	expect "the report" says "$2"
}

test_warning() { test_report WARNING 'WARNING: CPU: '; }
test_oops() { test_report EXCEPTION lkdtm_EXCEPTION; }
test_lockdep() { test_report SPINLOCKUP 'lock held when returning to user space'; }
test_kasan() { test_report WRITE_AFTER_FREE 'BUG: KASAN: '; }

# What the debug kernel does not find, or nobody can provoke: by its first line.
test_reports_by_name() {
	local line
	while IFS= read -r line; do
		[[ $line =~ $reports ]] || { echo "# $line"; bad=1; }
	done <<-'EOF'
		INFO: trying to register non-static key.
		turning off the locking correctness validator.
		BUG kmalloc-64 (Tainted: G    B            ): Poison overwritten
		rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... }
		NMI watchdog: Watchdog detected hard LOCKUP on cpu 0
		watchdog: BUG: soft lockup - CPU#0 stuck for 22s!
	EOF
}

test_panic() {
	vm -- bash -c 'echo c >/proc/sysrq-trigger; sleep 100'
	expect "status" returned 125
	expect "the panic" says 'Kernel panic'
}

test_machine_ends() {
	vm -- reboot -f
	expect "status" returned 126
	expect "the reason" says 'ended before the command did'
}

# A boot that comes to nothing and a second one, then the end.
test_second_boot() {
	mkdir "$tmp/nothing"
	echo '/sbin/reboot -f' >"$tmp/nothing/run.sh"
	vm -a "vmtest=$tmp/nothing" -- true
	expect "status" returned 126
	expect "one more boot" says 'booting it once more'
	expect "the reason" says 'never reached the command'
}

test_usage() {
	vm
	expect "no command" returned 126
	vm -t soon -- true
	expect "bad time" returned 126
	vm -i none -- true
	expect "no such IOMMU" returned 126
	expect "which there are" says 'vtd, vtd-legacy, vtd-nosuperpage, amd or virtio'
	vm -Z -- true
	expect "unknown option" returned 126
	vm -k "$tmp/no-kernel" -- true
	expect "no kernel" returned 126
	expect "which" says "$tmp/no-kernel"
	vm -q '-device no-such-device' -- true
	expect "bad QEMU argument" returned 126
	expect "what QEMU says" says no-such-device
	vm -h
	expect "help" returned 0
}

# What goes wrong before the machine is there is no status of the command.
test_cannot_prepare() {
	mkdir "$tmp/bin"
	printf '#!/bin/sh\nexit 1\n' >"$tmp/bin/cpio"
	chmod +x "$tmp/bin/cpio"
	PATH=$tmp/bin:$PATH vm -- true
	expect "no initramfs" returned 126
	TMPDIR=$tmp/no-such-directory vm -- true
	expect "no directory" returned 126
	expect "what is missing" says "no directory"
}

# Interrupted, it leaves neither the machine nor files.
test_interrupted() {
	local pid

	mkdir "$tmp/own"
	TMPDIR=$tmp/own "$here/vmtest.sh" "${kernel[@]}" -- sleep 1000 >/dev/null 2>&1 &
	pid=$!
	while [[ ! -e $(echo "$tmp"/own/*/console) ]]; do sleep 0.1; done
	kill -TERM "$pid"
	wait "$pid"
	expect "status" test $? == 143
	expect "no files" test -z "$(ls "$tmp/own")"
	# shellcheck disable=SC2009 # the arguments have to match
	expect "no machine" test -z "$(ps -eo args | grep "^qemu.*$tmp/own")"
}

mapfile -t tests < <(declare -F | awk '$3 ~ /^test_/ && $3 != "test_report" { print $3 }')
(($# == 0)) || tests=("${@/#/test_}")
echo "TAP version 13"
run_tests "${tests[@]}"
