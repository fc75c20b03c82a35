#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The package of the modules for Linux 6.12 in a root of Debian 13's own packages, which is
# in the cache: its apt installs the package, its DKMS and compiler build the modules for
# its kernel, and that kernel boots with them on that root, in its QEMU: selftests, and the
# nested guest.
. "$(dirname "$0")/tap.sh"
unset KERNEL
export BASE=6.12

if ((EUID)); then
	skip "the package on Debian 13" "needs root, to make a root of Debian 13: run it as root"
	finish
fi
if [[ ! $(scripts/lib/base --versions 2>/dev/null) ]]; then
	skip "the package on Debian 13" "apt does not know it"
	finish
fi
passes "apply" scripts/apply
passes "the tests are built" scripts/kselftests
passes "the package is made" scripts/deb

# What is newer than the root, and the newest kernel
# shellcheck disable=SC2016	# for the other shell
upgrade='
	set -e
	export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
	get() { apt-get -qq -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 "$@"; }
	get_packages() { get -y --no-install-recommends -o "Dir::Cache::archives=$debs" \
		-o APT::Keep-Downloaded-Packages=true "$@"; }
	debs=$1
	get -o APT::Update::Error-Mode=any -o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false update
	# Nobody boots one here, and each takes a while
	sed -i s/=yes/=no/ /etc/initramfs-tools/update-initramfs.conf
	get_packages full-upgrade
	get_packages install linux-image-amd64'
unreachable="Could not (resolve|connect)|Temporary failure|Unable to connect|Failed to fetch"
# Not those of modules_test.sh, which apt may have locked
debs=$VFIO_SERIES_CACHE/debs/trixie
mkdir -p "$debs/partial" "$work/upper/etc"
cp -L /etc/resolv.conf "$work/upper/etc"
if ! root=$(scripts/lib/suite-root trixie 2>"$work/why") ||
   ! in_overlay "$root" bash -c "$upgrade" bash "$debs" >"$work/why" 2>&1; then
	if grep -qE "$unreachable" "$work/why"; then
		skip "the package on Debian 13" "Debian's archive cannot be reached"
	else
		result 1 "a root of Debian 13 with its newest kernel" "$(<"$work/why")"
	fi
	finish
fi
release=$(cd "$work/upper/boot" && echo vmlinuz-*)
release=${release#vmlinuz-}
passes "Debian 13's kernel is of base $BASE" test "${release%%.*}" = 6 -a "${release#"$BASE".}" != "$release"

in_overlay "$root" "$here/scripts/tests/dkms.sh" "$release" / "$debs" \
	"$work"/repo/build/deb-$BASE/*.deb >"$work/log" 2>&1 || true
dkms_results

modules=/as-installed/$release
vfio=$work/repo/tools/testing/selftests/vfio
if compgen -G "$work/upper$modules/updates/dkms/vfio.ko*" >/dev/null; then
	# shellcheck disable=SC2317	# passes() calls it
	on_trixie() { in_overlay "$root" "$1" -k "/boot/vmlinuz-$release" -m "$modules" "${@:2}"; }
	passes "selftests with what DKMS has built: peer_dma" \
		on_trixie "$vfio/run_vm_tests.sh" -t 3 -r 5 peer_dma
	passes "the nested guest, in Debian 13's QEMU" on_trixie "$vfio/clients/nested_guest_test.sh"
	# shellcheck disable=SC2016	# for the machine's shell
	passes "kvmgt is refused, clearly" on_trixie "$vfio/vmtest.sh" -- bash -c '
		! modprobe kvmgt && dmesg | grep "kvmgt: disagrees about version of symbol vfio"'
fi
finish
