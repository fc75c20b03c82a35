#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Boot a machine with an edu, an ivshmem and an nvme device and run nested_guest.sh in it,
# with the same kernel for the nested guest.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=client_lib.sh
. "$here/client_lib.sh"

limit=900
client_options "$@"
client_machine nested_guest.sh guest_devices guest_bare guest_gone pasid_hog pasid_jobs
