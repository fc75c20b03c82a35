# SPDX-License-Identifier: GPL-2.0-only
# Each verb calls scripts; "make help" lists the verbs.
#
# Variables: BASE, BASE_VERSION, TOPIC (of apply), T and IOMMU (of check), FLAVOUR,
# KERNEL, CONFIG (of kernel-deb), VM_MEMORY, VM_CPUS, JOBS, FORCE=1.

.NOTPARALLEL:
.PHONY: all help run stock check nightly coverage lint cross series bisect-check refresh \
	apply menuconfig bench docs modules deb kernel-deb clean distclean

all: apply	## get the base, apply the patches, build kernel, modules and tests
	@scripts/bootstrap --vm
	@scripts/build
	@scripts/kselftests

help:		## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 15
	@sed -n '/^# Variables:/,/^$$/s/^# //p' Makefile

run: apply	## show it at work on Debian's kernel, or on KERNEL=full or stock, in a QEMU guest
	@scripts/run

stock: apply	## have a kernel without the series, for comparison: Debian's, or KERNEL=full
	@scripts/kselftests
	@stock=$$(scripts/stock) && echo "Try tools/testing/selftests/vfio/run_vm_tests.sh" \
		"-k $$stock/bzImage -m $$stock/modules bar_zap, or vmtest.sh there"

check: $(if $(T),apply,all)	## run all tests, or with T=peer_dma only these, on Debian's kernel
	@scripts/check

nightly: all	## all tests in full, those at random for ten minutes; then on kcsan
	@scripts/nightly

coverage: all	## which lines of the series the selftests execute
	@scripts/coverage

lint: apply	## run the static checks
	@scripts/lint

docs: apply	## render the documents to build/docs/index.html
	@scripts/docs

cross: apply	## compile for other architectures and with other options
	@scripts/cross

series: apply	## write the patches as mails to build/series
	@scripts/series

bisect-check: apply	## build the kernel after each patch
	@scripts/bisect-check

refresh:	## write what was committed in build/linux-BASE back to patches
	@scripts/refresh

apply:		## make or update build/linux-BASE (FORCE=1 drops edits there)
	@scripts/bootstrap
	@scripts/apply

menuconfig: apply	## choose base, flavour and size of the virtual machine
	@scripts/menuconfig

bench: all	## compare with the kernel without the patches
	@scripts/bench

modules: apply	## build only modules, for Debian's kernel or KERNEL=RELEASE
	@scripts/modules

kernel-deb: apply	## make Debian packages of the kernel: hours, or minutes with CONFIG=vm
	@scripts/kernel-deb

deb: apply	## make a Debian package of these modules, for DKMS
	@scripts/deb

clean:		## remove what was built, but keep the generated tree
	@scripts/clean

distclean:	## remove the generated tree and .config as well
	@scripts/clean --all
