# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
#
# What of the kernel a test has to leave as it was. Sourced by vmtest.sh, for
# reports on the console, and by run_vm_tests.sh, which looks after each test.

# What makes a run fail whatever the command returned. Each is printed by the
# kernel itself; panic and oops end the machine (panic=-1, -no-reboot).
reports='Kernel panic|Oops|BUG: ([^K]|K[^C])|BUG [^ ]+ \(|kernel BUG at|WARNING: |INFO: possible '
reports+='|INFO: task .* blocked|INFO: trying to register|turning off the locking correctness'
reports+='|detected (expedited )?stalls|self-detected stall|(soft|hard) (lockup|LOCKUP)|UBSAN: |KASAN: '
reports+='|DEBUG_LOCKS_WARN_ON'
reports+='|general protection fault|unable to handle|suspicious RCU usage|bad unlock balance'
# Races between other code are not ours to fix: KCSAN names both functions.
reports+='|KCSAN: .* in .*(vfio|pasid)'
reports+='|held lock freed|lock held when returning|unreferenced object|refcount_t: '

marks=0
cgroup=/sys/fs/cgroup/run_vm_tests
kmemleak=/sys/kernel/debug/kmemleak

# Of what follows as much as possible is bash: to start a program takes an emulated
# CPU longer than all of it.

# Pages that somebody has pinned, and who uses the modules: containers, open files
in_use() {
	local name value file pins=0
	while read -r name value; do
		case $name in
		nr_foll_pin_acquired) pins=$((pins + value)) ;;
		nr_foll_pin_released) pins=$((pins - value)) ;;
		esac
	done </proc/vmstat
	echo "pinned pages: $pins"
	for file in /sys/module/{vfio*,pasid_pool}/refcnt; do
		[[ ! -r $file ]] || echo "users of $file: $(<"$file")"
	done
}

# To be called before a test, which then runs by in_cgroup. The line in the kernel's
# log tells on the console which test a report belongs to.
state_begin() { # name of the test
	mark="run_vm_tests: $1 ($((++marks)))"
	echo "$mark" >/dev/kmsg
	before=$(in_use)
	mkdir "$cgroup"
	[[ ! -e $kmemleak ]] || echo clear 2>/dev/null >"$kmemleak"
}

in_cgroup() { # command...
	echo $BASHPID >"$cgroup/cgroup.procs"
	"$@"
}

# One line for each thing that is there now and was not before
state_left() {
	local name value
	while read -r name; do
		[[ $'\n'$before$'\n' == *$'\n'$name$'\n'* ]] || echo "$name"
	done < <(in_use)
	while read -r name value; do
		[[ $name != populated || $value == 0 ]] ||
			echo "processes: $(paste -sd' ' "$cgroup/cgroup.procs")"
	done <"$cgroup/cgroup.events"
	# Whose charge follows the cgroup that allocated
	[[ ! -e $cgroup/misc.current ]] ||
		while read -r name value; do
			[[ $name != pasid || $value == 0 ]] || echo "PASIDs: $value"
		done <"$cgroup/misc.current"
}

# Files are closed by a worker, and the last of it after a grace period. Prints what
# is left then, nothing if all is well.
state_end() {
	local left end=$((SECONDS + 10))
	while left=$(state_left) && [[ $left ]] && ((SECONDS < end)); do
		sleep 0.2
	done
	[[ ! $left ]] || echo "$left"
	reported
	leaks
	echo 1 >"$cgroup/cgroup.kill"
	rmdir "$cgroup" 2>/dev/null || { sleep 1; rmdir "$cgroup"; }
}

# What the kernel has reported since state_begin(), each with the lines after it
reported() {
	local lines i left=0
	mapfile -t lines < <(dmesg)
	for ((i = ${#lines[@]}; i > 0; i--)); do
		[[ ${lines[i - 1]} != *"$mark"* ]] || break
	done
	for (( ; i < ${#lines[@]}; i++)); do
		[[ ! ${lines[i]} =~ $reports ]] || left=100
		((left-- <= 0)) || echo "${lines[i]}"
	done
}

# Only where it is on: boot with kmemleak=on. It wants to see an object twice, at
# an age of five seconds.
leaks() {
	echo scan 2>/dev/null >"$kmemleak" || return
	sleep 5
	echo scan >"$kmemleak"
	cat "$kmemleak"
}

# No device, no inode and no mount that they live in holds the modules.
unload_vfio() {
	local path driver=/sys/bus/pci/drivers/vfio-pci
	for path in "$driver"/????:*; do
		[[ ! -e $path ]] || echo "${path##*/}" >"$driver/unbind"
	done
	# Not there: built in, or not known to this kernel
	for path in vfio_test_awake vfio_test_pci vfio_test_delay vfio_test vfio_pci vfio_pci_core vfio_iommu_type1 vfio_virqfd vfio pasid_pool; do
		[[ ! -e /sys/module/$path/refcnt ]] || rmmod "$path" || return
	done
}
