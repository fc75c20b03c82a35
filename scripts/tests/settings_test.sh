#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Where a setting comes from: the command line, then .config, then a default
# that Kconfig and the scripts agree on.
. "$(dirname "$0")/tap.sh"
small_base

# shellcheck disable=SC2016	# bash -c expands it
settings='. scripts/lib/lib.sh; echo $BASE $FLAVOUR $ARCH $VM_MEMORY $VM_CPUS'
value() { env "$@" bash -c "$settings" scripts/test; }

passes "apply" scripts/apply
defaults=$(value A=)
passes "Kconfig is understood" scripts/menuconfig alldefconfig
passes "and has the same defaults" test "$(value A=)" = "$defaults"
sed -i 's/^CONFIG_VM_CPUS=.*/CONFIG_VM_CPUS=4/' .config
passes ".config counts" test "$(value A=)" = "${defaults% *} 4"
passes "the environment wins" test "$(value VM_CPUS=3)" = "${defaults% *} 3"
passes "so does make's command line" test "$(make -s VM_CPUS=3 --eval "show: ; @bash -c '${settings//\$/\$\$}' scripts/test" show)" = "${defaults% *} 3"
finish
