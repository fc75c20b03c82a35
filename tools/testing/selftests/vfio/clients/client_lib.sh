# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154
#
# Sourced by the tests that let programs of others use VFIO in a machine of
# vmtest.sh: the script that boots it, and the one that runs in it. The latter
# prints a line for each fact, "what -> what was seen", with two blanks before one as it
# should be, and an exclamation mark before one that should not.

tests=${here%/*}	# vmtest.sh and bind.sh are there
# shellcheck source=../user_lib.sh
. "$tests/user_lib.sh"

# Where the script runs that boots the machine

# From the repository's root, or from the generated kernel tree inside it
find_build() {
	local top=$tests/../../../..
	for build in "$top/build" "$top/.."; do
		[[ ! -d $build/headers ]] || break
	done
}

client_usage() {
	cat <<-EOF_USAGE
	usage: ${0##*/} [-v] [-k bzImage] [-m modules_dir] [-a 'kernel arguments']
	       [-M memory] [-c cpus] [-t seconds]

	  -v      lines for people, instead of TAP
	  others  as in vmtest.sh
	EOF_USAGE
}

# Sets $kernel, $limit, the filter for the facts, $show, and $vmtest, the arguments
# that are left; $layer, for need_programs().
client_options() { # argument...
	local opt OPTIND
	find_build
	kernel=$build/bzImage show=facts_to_tap vmtest=() layer=()
	while getopts vk:m:a:M:c:t:h opt; do
		case $opt in
		v) show="cat" ;;
		k) kernel=$OPTARG ;;
		t) limit=$OPTARG ;;
		m | a | M | c) vmtest+=("-$opt" "$OPTARG") ;;
		h) client_usage; exit 0 ;;
		*) client_usage >&2; exit 1 ;;
		esac
	done
	kernel=$(readlink -f "$kernel") || true
	if [[ ! -r $kernel ]]; then
		echo "${0##*/}: no kernel: run make first, or name one with -k" >&2
		exit 1
	fi
}

# The programs are on this host, or unpacked for the machine by scripts/lib/unpack.
need_programs() { # packages, program...
	local packages=$1 program
	shift
	for program; do
		if [[ -x $build/vm-root$program ]]; then
			layer=(-l "$build/vm-root")
		elif [[ ! -x $program ]]; then
			echo "ok 1 - ${0##*/} # SKIP no $program: apt-get install $packages"
			echo "1..1"
			exit 0
		fi
	done
}

# Static, as a nested guest has no libraries.
build_static() { # directory, name...
	local bin=$1 headers=$build/headers/include name
	shift
	if [[ ! -d $headers ]]; then
		echo "${0##*/}: no headers in $headers: run make first" >&2
		exit 1
	fi
	for name; do
		gcc -O2 -Wall -static -pthread -isystem "$headers" -o "$bin/$name" \
			"$here/$name.c" "$tests"/lib/*.c
	done
}

facts_to_tap() {
	awk '
		/^[ !] / {
			result = /^!/ ? "not ok " : "ok "
			sub(/^../, "")
			gsub(/ +/, " ")
			print result (++number) " " $0
			next
		}
		{ print "# " $0 }
		END { print "1.." number + 0 }'
}

# How a machine has ended, if not by the script's end, as one more fact
machine_ended() { # status of vmtest.sh
	local how=("stood still" "took too long" "its kernel reported something" "did not start, or ended early")
	((${1} < 123 || ${1} > 126)) || echo "! the machine -> ${how[${1} - 123]}, see stderr"
	return "$1"
}

# Run a script with the kernel and a directory of programs, on an edu, an ivshmem and an
# nvme device, with nothing on the latter; in full when VFIO_TEST_LONG is set.
client_machine() { # script, programs...
	local script=$1 machine
	shift
	bin=$(mktemp -d)
	trap 'rm -rf "$bin"' EXIT
	build_static "$bin" "$@"
	truncate -s 16M "$bin/disk"
	# One CPU, unless an argument says otherwise: nested, one that has to wait for
	# another one's turn takes forever, and with a thread each QEMU may crash when
	# the guest turns memory off and on (see vmtest.sh).
	machine=("$tests/vmtest.sh" -g -c 1 -k "$kernel" "${layer[@]}" "${vmtest[@]}" -t "$limit"
		-q "-device edu,addr=10.0,dma_mask=0xffffffffff"
		-q "-object memory-backend-memfd,id=bar,size=64M,share=on"
		-q "-device ivshmem-plain,memdev=bar,addr=11.0"
		-q "-blockdev file,node-name=disk,filename=$bin/disk"
		-q "-device nvme,serial=1,drive=disk,cmb_size_mb=16,addr=12.0")
	{
		"${machine[@]}" -- "$here/$script" "$kernel" "$bin" ${VFIO_TEST_LONG:+long} ||
			machine_ended $?
	} | $show
}

# In the machine

facts=0 failed=0

missing() {
	echo "${0##*/}: $*" >&2
	exit 4
}

fact() { # line, as above
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

sum_up() {
	if ((failed)); then
		echo "FAILED: $failed of $facts facts are not as they should be"
		exit 1
	fi
	echo "passed: all $facts facts are as they should be"
	exit 0
}

find_devices() { # PCI vendor, device
	local path
	for path in /sys/bus/pci/devices/*; do
		if [[ $(<"$path/vendor") == "$1" && $(<"$path/device") == "$2" ]]; then
			basename "$path"
		fi
	done
}

group_of() { # device
	basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"
}

driver_of() { # device
	local link
	link=$(readlink "/sys/bus/pci/devices/$1/driver") || link=none
	echo "${link##*/}"
}

groups_free() { # device...
	local bdf free=0
	for bdf; do
		if (exec 9<>"/dev/vfio/$(group_of "$bdf")") 2>/dev/null; then
			free=$((free + 1))
		fi
	done
	echo $free
}

# What a process has of VFIO
vfio_files() { # pid
	local files
	files=$(find "/proc/$1/fd" -printf '%l\n')
	echo "$(grep -cF '[vfio-device]' <<<"$files") devices," \
		"$(grep -c '^/dev/vfio/[0-9]' <<<"$files") groups," \
		"$(grep -c '^/dev/vfio/vfio$' <<<"$files") containers"
}

locked_memory() { # pid
	sed -n 's/^VmLck:[[:space:]]*//p' "/proc/$1/status"
}

device_mappings() {
	cat /proc/[0-9]*/maps 2>/dev/null | grep -cF '[vfio-device]' || true
}

# Wait until a command is true, at most for so many seconds.
within() { # seconds, command...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.1
	done
}
