#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Boot a machine with an edu, an ivshmem and an nvme device and run libvirt_guest.sh in
# it, with the same kernel for the domain.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=client_lib.sh
. "$here/client_lib.sh"

limit=600
client_options "$@"
need_programs "libvirt-daemon libvirt-clients" /usr/sbin/libvirtd /usr/bin/virsh
client_machine libvirt_guest.sh guest_devices guest_bare guest_gone
