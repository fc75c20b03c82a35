#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The modules for Debian's own kernel: built, and tested in a machine that boots
# it; then their package, installed on a copy-on-write view of this host, and what
# DKMS has built there tested in the machine as well.
. "$(dirname "$0")/tap.sh"

# On the user's checkout: its generated tree takes minutes to make.
cd "$here"
unset KERNEL
vfio=tools/testing/selftests/vfio
tests=(bar_zap pasid_device pasid_limits)

# on_debian SCRIPT MODULES ARGUMENT...
# shellcheck disable=SC2317	# passes() calls it
on_debian() { "$1" -k build/modules-debian/bzImage -m "$2" "${@:3}"; }

refuses "an unknown kernel" "neither this host nor apt has a kernel 5.4.0-1-amd64 .*choose one of: debian" \
	env KERNEL=5.4.0-1-amd64 scripts/modules

if ! kernel=$(scripts/lib/debian-kernel 2>"$work/why"); then
	skip "modules on Debian's kernel" "$(<"$work/why")"
	finish
fi
read -r release root <<<"$kernel"

passes "the modules build" scripts/modules
passes "kvmgt is named as one that will not load" grep -qw kvmgt build/modules-debian/left-out
passes "selftests on Debian's kernel: ${tests[*]}" \
	on_debian $vfio/run_vm_tests.sh build/modules-debian/modules -u -t 3 -r 5 "${tests[@]}"

if [[ ! ${VFIO_TEST_LONG:-} ]]; then
	skip "the package, on an overlay of this host" "takes minutes: make nightly, or VFIO_TEST_LONG=1"
	finish
fi
if ((EUID)); then
	skip "the package" "needs root, to install it on an overlay of this host: run it as root"
	finish
fi
passes "the package is made" scripts/deb

mkdir -p "$VFIO_SERIES_CACHE/debs"
if ! in_overlay / true 2>"$work/why"; then
	skip "installing the package" "no overlay of this host: $(paste -sd' ' "$work/why")"
	finish
fi
in_overlay / "$here/scripts/tests/dkms.sh" "$release" "${root%/}" "$VFIO_SERIES_CACHE/debs" \
	"$here"/build/deb/*.deb >"$work/log" 2>&1 || true
dkms_results

modules=$work/upper/as-installed/$release
if [[ -e $modules/updates/dkms/vfio.ko ]]; then
	passes "selftests with what DKMS has built: pasid_uapi peer_dma" \
		on_debian $vfio/run_vm_tests.sh "$modules" -t 3 -r 5 pasid_uapi peer_dma
	# shellcheck disable=SC2016	# for the machine's shell
	passes "kvmgt is refused, clearly" on_debian $vfio/vmtest.sh "$modules" -- bash -c '
		! modprobe kvmgt && dmesg | grep "kvmgt: disagrees about version of symbol vfio"'
fi
finish
