#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Boot a machine with an edu, an ivshmem and an nvme device and run nested_guest.sh in it,
# with the same kernel for the nested guest.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
top=$(readlink -f "$here/../../../..")

usage() {
	cat <<-EOF_USAGE
	usage: ${0##*/} [-v] [-k bzImage] [-m modules_dir] [-a 'kernel arguments']
	       [-M memory] [-c cpus] [-t seconds]

	  -v      lines for people, instead of TAP
	  others  as in vmtest.sh
	EOF_USAGE
}

# A line that begins with two blanks is a fact as expected, with an exclamation
# mark one that is not.
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

for build in "$top/build" "$top/.."; do
	[[ -e $build/bzImage ]] && break
done
kernel=$build/bzImage show=facts_to_tap limit=900 vmtest=()
while getopts vk:m:a:M:c:t:h opt; do
	case $opt in
	v) show="cat" ;;
	k) kernel=$OPTARG ;;
	t) limit=$OPTARG ;;
	m | a | M | c) vmtest+=("-$opt" "$OPTARG") ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 1 ;;
	esac
done
kernel=$(readlink -f "$kernel") || true
if [[ ! -r $kernel ]]; then
	echo "${0##*/}: no kernel: run make first, or name one with -k" >&2
	exit 1
fi

# Those of the kernel that the last build is about, with the series' own numbers.
headers=$(dirname "$(readlink -f "$build/bzImage")")/usr/include
# Static, as the nested guest has no libraries.
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
for name in guest_devices guest_bare pasid_hog pasid_jobs; do
	gcc -O2 -Wall -static -pthread -isystem "$headers" -o "$bin/$name" "$here/$name.c" "$here"/lib/*.c
done

# Nested, a CPU that has to wait for the other one's turn takes forever.
export VMTEST_TCG_THREAD=${VMTEST_TCG_THREAD:-multi}
"$here/vmtest.sh" -k "$kernel" "${vmtest[@]}" -t "$limit" \
	-q "-device edu,addr=10.0,dma_mask=0xffffffffff" \
	-q "-object memory-backend-memfd,id=bar,size=64M,share=on" \
	-q "-device ivshmem-plain,memdev=bar,addr=11.0" \
	-q "-blockdev null-co,node-name=disk,size=67108864" \
	-q "-device nvme,serial=1,drive=disk,cmb_size_mb=16,addr=12.0" -- \
	"$here/nested_guest.sh" "$kernel" "$bin" | $show
