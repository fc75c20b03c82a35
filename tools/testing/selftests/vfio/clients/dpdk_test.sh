#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# DPDK's testpmd, as it comes from the distribution, forwards packets between two NICs
# that a user was given. In a machine whose NICs are on one hub, each packet that one
# sends is received by the other. This is both the script that boots the machine and,
# with --inside, the one that runs in it.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=client_lib.sh
. "$here/client_lib.sh"

memory=64	# MiB, of testpmd's
limit_bytes=$(((memory + 8) << 20))
# Ordinary pages, and huge ones, for which a process maps and unmaps as it goes
small=(--no-huge --no-shconf)
huge=(--in-memory)

# What testpmd printed last, which with --stats-period it does each second: packets
# received, sent, and errors, of both ports together; all 0 when a port has no packets.
counters() {
	tac "$run/log" | awk '
		/NIC statistics for port/ && ++ports == 2 { exit }
		{
			for (i = 1; i < NF; i++)
				if ($i ~ /^[RT]X-packets:$/ && !$(i + 1))
					none = 1
				else if ($i ~ /^[RT]X-/)
					count[$i] += $(i + 1)
		}
		END {
			if (none)
				print "0 0 0"
			else
				print count["RX-packets:"] + 0, count["TX-packets:"] + 0,
				      count["RX-errors:"] + count["TX-errors:"]
		}'
}

packets_pass() {
	local rx tx
	read -r rx tx _ < <(counters)
	((rx > 1000 && tx > 1000))
}

running() { kill -0 "$pid" 2>/dev/null; }
passing_or_ended() { packets_pass || ! running; }

start() { # bytes of memory that may be locked, options for memory...
	local memlock=$1
	shift
	prlimit --memlock="$memlock" -- "${as_user[@]}" \
		dpdk-testpmd -l 0-1 -m $memory "$@" --no-telemetry --iova-mode=va \
		-a "${nics[0]}" -a "${nics[1]}" -- --total-num-mbufs=4096 \
		--no-mlockall --auto-start --tx-first --stats-period=1 >"$run/log" 2>&1 </dev/null &
	pid=$!
}

forward() { # options for memory...
	local rx tx errors
	start $limit_bytes "$@"
	within 60 passing_or_ended || true
	read -r rx tx errors < <(counters)
	expect "testpmd: packets received" "yes" "$( ((rx > 1000)) && echo yes || echo "$rx")"
	expect "testpmd: packets sent" "yes" "$( ((tx > 1000)) && echo yes || echo "$tx")"
	expect "testpmd: errors" 0 "$errors"
	if ! running; then
		tail -n 20 "$run/log" >&2
		return
	fi
	expect "testpmd: user, with ${1#--}" nobody "$(stat -c %U "/proc/$pid")"
	expect "testpmd: its files" "2 devices, 2 groups, 1 containers" "$(vfio_files "$pid")"
	expect "testpmd: memory locked for DMA" "$((memory << 10)) kB" "$(locked_memory "$pid")"
}

nothing_left() { # after what
	expect "$1: groups free" 2 "$(groups_free "${nics[@]}")"
	expect "$1: mappings of devices left" 0 "$(device_mappings)"
	expect "$1: users of the vfio_pci module" 0 "$(</sys/module/vfio_pci/refcnt)"
}

finish() { # signal; sets $status
	status=0
	kill "-$1" "$pid" || true
	wait "$pid" 2>/dev/null || status=$?
}

# It goes on without a device then.
refuse() {
	start $((memory << 19)) "${small[@]}"
	within 60 grep -q "No probed ethernet devices" "$run/log" || true
	finish KILL
	expect "testpmd: with half the memory to lock" "*(Cannot allocate memory)*" \
		"$(grep -m1 'DMA remapping' "$run/log" || tail -n 1 "$run/log")"
	expect "testpmd: devices it has then" none \
		"$(grep -q 'No probed ethernet devices' "$run/log" && echo none)"
}

inside() { # "long": all
	mapfile -t nics < <(find_devices 0x8086 0x10d3)
	((${#nics[@]} == 2)) || missing "two e1000e are needed: give vmtest.sh -q '-device e1000e ...'"
	run=$(mktemp -d)
	"$tests/bind.sh" -f -u nobody "${nics[@]}" >/dev/null
	echo $((memory / 2)) >/proc/sys/vm/nr_hugepages

	[[ ! ${1:-} ]] || refuse
	forward "${small[@]}"
	finish KILL
	nothing_left "SIGKILL"
	# With whatever that one has left. It ends by itself, its devices closed and its
	# memory unmapped.
	forward "${huge[@]}"
	finish INT
	expect "testpmd: status after SIGINT" 0 "$status"
	nothing_left "SIGINT"
	sum_up
}

if [[ ${1:-} == --inside ]]; then
	inside "${2:-}"
fi
limit=300
client_options "$@"
need_programs dpdk-dev /usr/bin/dpdk-testpmd
# A thread polls all the time, which must not keep the NICs from their work.
export VMTEST_TCG_THREAD=${VMTEST_TCG_THREAD:-multi}
{
	"$tests/vmtest.sh" -k "$kernel" "${layer[@]}" "${vmtest[@]}" -t "$limit" \
		-q "-netdev hubport,id=n1,hubid=0 -device e1000e,netdev=n1,addr=10.0" \
		-q "-netdev hubport,id=n2,hubid=0 -device e1000e,netdev=n2,addr=11.0" -- \
		"$here/dpdk_test.sh" --inside ${VFIO_TEST_LONG:+long} || machine_ended $?
} | $show
