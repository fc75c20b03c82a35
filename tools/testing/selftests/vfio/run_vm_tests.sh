#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Run the tests in a machine that vmtest.sh boots, with devices for all of them. Tests
# are run by root, then by a user who was given the group files and nothing else, or by
# one of them.
set -uo pipefail

here=$(dirname "$(readlink -f "$0")")
. "$here/kernel_state.sh"
. "$here/user_lib.sh"

# Devices of the machine. The functions of one slot share a group.
root_port() { # number, slot
	# Faster links have to train after a bus reset, which QEMU does not emulate.
	echo "-device pcie-root-port,id=rp$1,chassis=$1,addr=$2.0,x-speed=2_5"
}

nvme() { # name, port, function
	echo "-blockdev null-co,node-name=$1,size=67108864"
	echo "-device nvme,serial=$1,drive=$1,cmb_size_mb=16,bus=$2,addr=0.$3,multifunction=on"
}

# With room for one VF
nvme_pf() { # name, port
	local sriov=sriov_max_vfs=1,sriov_vq_flexible=2,sriov_vi_flexible=1
	echo "-device nvme-subsys,id=subsys-$1"
	echo "-device nvme,serial=$1,bus=$2,subsys=subsys-$1,max_ioqpairs=4,msix_qsize=5,$sriov"
}

ivshmem() { # name, slot, size
	echo "-object memory-backend-memfd,id=$1,size=$3,share=on"
	echo "-device ivshmem-plain,memdev=$1,addr=$2.0"
}

# BARs are small: KASAN fills a shadow for each that is mapped.
devices="
	-device edu,addr=10.0 -device edu,addr=16.0
	$(ivshmem m1 11 32M) $(ivshmem m2 12 16M)
	$(root_port 1 13) $(nvme d0 rp1 0)
	$(root_port 2 14) -device e1000e,bus=rp2,addr=0.0,multifunction=on
	-device e1000e,bus=rp2,addr=0.1,multifunction=on
	$(root_port 3 15) -device e1000e,bus=rp3
	$(root_port 4 17) $(nvme_pf d1 rp4)
	-global q35-pcihost.pci-hole64-size=512G -device pci-testdev,membar=128G,addr=18.0"

# name | who (root, user, both; each: both, with tests that only root can run;
# last: root, without VFIO's modules) | seconds | command
tests='
bar_address      | both | 120 | bar_address_test
bar_layout       | both | 120 | bar_layout_test
bar_zap          | both | 300 | bar_zap_test
bar_rezap        | each | 120 | bar_rezap_test
bar_fault_storm  | both | 180 | bar_fault_storm_test
bar_first_use    | both | 120 | bar_first_use_test
group_window     | root | 120 | group_window_test
hot_reset        | both | 180 | hot_reset_test
module_fail_nth  | last | 300 | module_fail_nth
container_domain | both | 60  | container_domain_test
container_fdinfo | both | 60  | container_fdinfo_test
container_race   | both | 60  | container_race_test
container_replay | each | 120 | container_replay_test
device_fail_nth  | root | 180 | device_fail_nth
device_inode     | each | 300 | device_inode_test
device_inode_sh  | root | 120 | device_inode_test.sh
pasid_uapi       | both | 120 | pasid_uapi_test
pasid_owner      | both | 180 | pasid_owner_test
pasid_exec       | both | 180 | pasid_exec_test
pasid_family     | both | 180 | pasid_family_test
pasid_survivor   | both | 180 | pasid_survivor_test
pasid_death      | both | 180 | pasid_death_test
pasid_kill       | both | 240 | pasid_kill_test
pasid_limits     | root | 400 | pasid_limits_test
pasid_device     | each | 180 | pasid_device_test
pasid_window     | root | 180 | pasid_window_test
pasid_space      | each | 180 | pasid_space_test
pasid_random     | user | 120 | pasid_random_test
pasid_trace      | root | 60  | pasid_trace_test
pasid_fail_nth   | root | 120 | pasid_fail_nth
pci_ioeventfd    | both | 60  | pci_ioeventfd_test
pci_log          | each | 60  | pci_log_test
pci_trigger      | each | 60  | pci_trigger_test
peer_crowd       | each | 120 | peer_crowd_test
peer_dma         | each | 240 | peer_dma_test
peer_fail_nth    | root | 120 | peer_fail_nth
peer_host        | root | 120 | peer_host_test
peer_random      | both | 240 | peer_random_test
peer_pins        | both | 60  | peer_pins_test
peer_reset       | each | 120 | peer_reset_test
peer_reap        | both | 120 | peer_reap_test
peer_size        | each | 480 | peer_size_test
peer_sleep       | root | 60  | peer_sleep_test
peer_update      | each | 120 | peer_update_test
peer_walk        | both | 120 | peer_walk_test
peer_window      | root | 180 | peer_window_test
space_window     | root | 180 | space_window_test
ram_map          | both | 120 | ram_map_test
type1_dirty      | both | 240 | type1_dirty_test
type1_fuzz       | both | 600 | type1_fuzz_test
type1_memcg      | root | 120 | type1_memcg_test
type1_tables     | each | 300 | type1_tables_test
uapi_size        | both | 60  | uapi_size_test
vfio_probe       | root | 120 | vfio_probe_test.sh
'

usage() {
	cat <<-EOF_USAGE
	usage: ${0##*/} [-k bzImage] [-m modules_dir] [-a 'kernel arguments'] [-i IOMMU]
	       [-t factor] [-p part/parts] [-r seconds] [-s seed] [-g directory] [-f] [-u]
	       [test...]

	A test may be a pattern: 'peer_*'.

	  -k, -m, -a, -i  as in vmtest.sh
	  -t          allow this many times the usual time (default 1)
	  -p          run only a part of the tests, 1/2 or 2/2 for example
	  -r          let tests that do things at random go on for so long
	              (default \$VFIO_TEST_SECONDS or 20)
	  -s          what they choose at random begins with this seed, as of a run before
	              (default \$VFIO_TEST_SEED or one of their own, which they print)
	  -g          at the end, copy what a kernel with gcov has counted there
	  -f          tests that let allocations fail print where each one did
	  -u          what root and a user can do, only as the user

	Tests:$(awk -F'|' '{ gsub(/ /, "", $1); if ($1) printf " %s", $1 }' <<<"$tests")
	Exit status: 0 when nothing failed.
	EOF_USAGE
}

# matches NAME PATTERN...
matches() {
	local name=$1 pattern
	shift
	for pattern; do
		# shellcheck disable=SC2053 # a pattern
		[[ $name != $pattern ]] || return 0
	done
	return 1
}

# Lines "name who seconds command" of the tests named, all by default; of these,
# every one that belongs to the part; "both" and "each" differ with -u
selected() {
	local name who seconds command number=0
	while IFS='|' read -r name who seconds command; do
		name=${name// /}
		[[ $name ]] || continue
		[[ $# == 0 ]] || matches "$name" "$@" || continue
		who=${who// /}
		[[ ! $unprivileged || $who != both ]] || who=user
		[[ $who != each ]] || who=both
		if ((number++ % parts + 1 == part)); then
			echo "$name $who ${seconds// /} $command"
		fi
	done <<<"$tests"
}

# The rest runs in the machine.

# Who hangs, and what the CPUs do
show_tasks() {
	dmesg --clear
	echo w >/proc/sysrq-trigger
	echo l >/proc/sysrq-trigger
	dmesg | sed 's/^/# /'
}

# Good is what prints nothing.
report() { # what, output
	if [[ $2 ]]; then
		echo "not ok - $1"
		echo "# ${2//$'\n'/$'\n'# }"
	else
		echo "ok - $1"
	fi
}

# A program ends with a status and TAP; a result that its plan promises and that
# is not there counts as one failure.
run_program() { # who, name, seconds, command...
	local who=$1 name=$2 seconds=$3 status output wrapper=() begin=$SECONDS
	shift 3
	[[ $who == root ]] || wrapper=(prlimit --memlock=$((64 << 20)) -- "${as_user[@]}")
	output=/tmp/run_vm_tests.output
	echo "# $name as $who"
	# Not through a pipe: a child that hangs would hold it open.
	state_begin "$name as $who"
	in_cgroup "${wrapper[@]}" timeout -k 5 "$seconds" "$@" >"$output" 2>&1 </dev/null &
	tail -n +1 -s 0.2 -f --pid=$! "$output"
	wait $!
	status=$?
	if [[ $status == 124 || $status == 137 ]] ||
	   grep -q 'terminated by timeout' "$output"; then
		show_tasks
	fi
	awk -v status="$status" -v name="$name as $who" '
		/^1\.\.[0-9]+/ { plan = substr($1, 4) + 0; planned = 1 }
		/^(not )?ok / { results++ }
		/^not ok / { bad++ }
		END {
			if (status == 124 || status == 137)
				print "not ok " results + 1 " " name " # did not end in time"
			else if (!planned || results < plan)
				print "not ok " results + 1 " " name " # results missing, status " status
			else if (status && status != 4 && !bad)
				print "not ok " results + 1 " " name " # exit status " status
			else if (planned && !plan)
				print "ok 1 " name " # SKIP"
		}' "$output"
	report "$name as $who leaves nothing behind" "$(state_end 2>&1)"
	echo "# $name as $who: $((SECONDS - begin)) s"
}

# What gcov has counted, into the directory that the host shares
save_counts() {
	local share file
	share=$(mktemp -d)
	mount -t 9p -o trans=virtio,version=9p2000.L gcov "$share" || return
	cd /sys/kernel/debug/gcov || return
	while read -r file; do
		mkdir -p "$share/${file%/*}" || return
		# These files have no size: cp would copy nothing.
		cat "$file" >"$share/$file" || return
	done < <(find . -name '*.gcda')
	umount "$share"
}

# What is wrong with the results of a suite, whose last line tells about all of it
kunit_failures() {
	grep -E '^ *not ok ' "$1" && cat "$1"
	grep -qE '^ok ' "$1" || echo "no result"
}

# The KUnit tests, as far as they are modules. They take all PASIDs for a while.
run_kunit() {
	local module suite
	for module in $(cd /lib/modules/"$(uname -r)" && find . -name '*_kunit.ko'); do
		module=${module##*/}
		report "${module%.ko} can be loaded" "$(modprobe "${module%.ko}" 2>&1)"
	done
	for suite in /sys/kernel/debug/kunit/*/results; do
		report "KUnit: $(basename "${suite%/*}")" "$(kunit_failures "$suite" 2>&1)"
	done
	for module in /sys/module/*_kunit; do
		rmmod "${module##*/}"
	done
}

# Without these, tests are skipped: fine where the kernel does not have them.
load_for_tests() { # module...
	local module
	for module; do
		! modprobe -qn "$module" || report "$module can be loaded" "$(modprobe "$module" 2>&1)"
	done
}

# The series has fewer tests for some kernels than for others.
is_built() { # what, program
	type -P "$2" >/dev/null && return
	echo "ok - $1 # SKIP not built"
	return 1
}

inside() { # test...
	local name who seconds command user
	# Built in place by the kernel's make, or by the repository's.
	PATH=$here:$here/../../../../build/kselftests:$PATH
	cd "$here" || exit 1
	[[ ! $trace ]] || export T1_FAIL_TRACE=1
	export VFIO_TEST_SECONDS=$random
	[[ ! $seed ]] || export VFIO_TEST_SEED=$seed
	# Not a locale's files to open for each program
	export LC_ALL=C
	echo "# $(uname -r)"
	# So that the user can hold a lock as well (FUSE would do, too), and read the log.
	sysctl -q vm.unprivileged_userfaultfd=1 kernel.dmesg_restrict=0
	load_for_tests aer_inject vfio_test vfio_test_delay vfio_test_pci
	echo +misc 2>/dev/null >/sys/fs/cgroup/cgroup.subtree_control
	"$here/bind.sh" -f -u nobody --all-test-devices | sed 's/^/# bound: /' || exit 1
	while read -r name who seconds command; do
		for user in root user; do
			[[ $who == "$user" || $who == both ]] || continue
			is_built "$name as $user" "${command%% *}" || continue
			# shellcheck disable=SC2086 # a command may have arguments
			run_program $user "$name" $((seconds * factor + VFIO_TEST_SECONDS)) $command
		done
	done < <(selected "$@")
	[[ ! $gcov ]] || run_kunit
	report "the modules can be unloaded" "$(unload_vfio 2>&1 || lsmod)"
	while read -r name who seconds command; do
		[[ $who == last ]] || continue
		is_built "$name as root" "${command%% *}" || continue
		# shellcheck disable=SC2086
		run_program root "$name" $((seconds * factor)) $command
	done < <(selected "$@")
	# The kernel keeps what it has counted in modules that are gone.
	[[ ! $gcov ]] || save_counts || exit 1
	exit 0
}

# In the machine it is called with the same options again, after --inside.
vmtest=() factor=1 part=1 parts=1 gcov='' trace='' unprivileged='' random=${VFIO_TEST_SECONDS:-20}
seed=${VFIO_TEST_SEED:-} inside=''
if [[ ${1:-} == --inside ]]; then
	inside=1
	shift
fi
while getopts k:m:a:i:t:p:r:s:g:fuh opt; do
	case $opt in
	k | m | a | i) vmtest+=("-$opt" "$OPTARG") ;;
	t) factor=$OPTARG ;;
	r) random=$OPTARG ;;
	s) seed=$OPTARG ;;
	g) gcov=$OPTARG ;;
	f) trace=1 ;;
	u) unprivileged=1 ;;
	p) part=${OPTARG%/*} parts=${OPTARG#*/} ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 1 ;;
	esac
done
shift $((OPTIND - 1))
[[ "$part/$parts" =~ ^[1-9][0-9]*/[1-9][0-9]*$ && $part -le $parts ]] || { usage >&2; exit 1; }
for name; do
	[[ $(part=1 parts=1; selected "$name") ]] || { echo "${0##*/}: no test $name" >&2; usage >&2; exit 1; }
done

[[ ! $inside ]] || inside "$@"

if [[ $gcov ]]; then
	vmtest+=(-q "-fsdev local,id=gcov,path=$gcov,security_model=none"
		 -q "-device virtio-9p-pci,fsdev=gcov,mount_tag=gcov,addr=1b.0")
fi

names=() limit=60
while read -r name who seconds _; do
	names+=("$name")
	runs=1
	[[ $who != both ]] || runs=2
	limit=$((limit + runs * (seconds * factor + random)))
done < <(selected "$@")

if ((!${#names[@]})); then
	echo "${0##*/}: none of these tests is in this part" >&2
	exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$here/vmtest.sh" "${vmtest[@]}" -t "$limit" -q "${devices//[$'\n\t']/ }" -- \
	"$here/run_vm_tests.sh" --inside -t "$factor" -r "$random" ${seed:+-s "$seed"} ${gcov:+-g "$gcov"} \
	${trace:+-f} ${unprivileged:+-u} "${names[@]}" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
[[ $status == 0 ]] || echo "not ok - the machine # vmtest.sh returned $status" | tee -a "$log"

awk '
	/^not ok / { failed++; next }
	/^ok .*# SKIP/ { skipped++; next }
	/^ok / { passed++ }
	END {
		printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
		exit failed || !passed
	}' "$log"
