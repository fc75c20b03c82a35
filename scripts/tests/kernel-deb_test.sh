#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Packages of the kernel, with the test machine's configuration: made, complete, and
# the kernel that is in them boots.
. "$(dirname "$0")/tap.sh"

# On the user's checkout: its generated tree takes minutes to make.
cd "$here"
unset KERNEL
refuses "an unknown configuration" "unknown CONFIG 'tiny': choose one of: debian vm" \
	env CONFIG=tiny scripts/kernel-deb

passes "packages are made" env CONFIG=vm scripts/kernel-deb
debs=$here/build/kernel-deb
for package in linux-image linux-headers linux-libc-dev; do
	passes "$package unpacks" dpkg-deb -x "$(echo "$debs/$package"[-_]*.deb)" "$work/$package"
done

release=$(cd "$work/linux-image/lib/modules" && echo ./*)
release=${release#./}
passes "the release says what it is" grep -qE '^6\.1\.[0-9]+-vfio-series-vm$' <<<"$release"
version=$(dpkg-deb -f "$debs"/linux-image-*.deb Version)
passes "the version begins with the base's" test "${version%%.20*}" = "${release%%-*}"
passes "none but these" test "$(find "$debs" -name '*.deb' | wc -l)" = 3
passes "headers are those of the series" \
	grep -q VFIO_IOMMU_PASID_REQUEST "$work/linux-libc-dev/usr/include/linux/vfio.h"
passes "headers for modules are of the same release" \
	test -f "$work/linux-headers/usr/src/linux-headers-$release/Makefile"

# shellcheck disable=SC2016	# for the machine's shell
passes "the kernel of the package boots, with its modules" \
	tools/testing/selftests/vfio/vmtest.sh -k "$work/linux-image/boot/vmlinuz-$release" \
	-m "$work/linux-image/lib/modules/$release" -- bash -c '
		[[ $(uname -r) == "$1" && -e /sys/module/pasid_pool ]] &&
		grep -qw pasid /sys/fs/cgroup/misc.capacity' bash "$release"
finish
