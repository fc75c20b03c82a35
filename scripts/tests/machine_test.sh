#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A machine that lacks something is told what to do, in one line.
. "$(dirname "$0")/tap.sh"

echo no-such-package >"$work/packages"
chmod -R a+rX "$work"
as_user=()
((EUID != 0)) || as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
refuses "a missing package, not as root" "as root, run 'apt-get install no-such-package'" \
	"${as_user[@]}" env VFIO_SERIES_PACKAGES="$work/packages" scripts/bootstrap

echo bash >"$work/packages"
fake qemu-system-x86_64 'echo "QEMU emulator version 5.2.0 (Debian)"'
refuses "an old QEMU" "QEMU 5.2.0 is too old: install qemu-system-x86 7.2" \
	env PATH="$work/bin:$PATH" VFIO_SERIES_PACKAGES="$work/packages" scripts/bootstrap

# No network: apt still knows what there is, but cannot get it.
fake apt-get 'exit 100'
mkdir "$work/cache"
offline=(env PATH="$work/bin:$PATH" VFIO_SERIES_CACHE="$work/cache")
output=$("${offline[@]}" scripts/lib/base 2>&1 | grep -v downloading || true)
passes "no network and no base says what to do" grep -q "^base: cannot download .*check the network" <<<"$output"
passes "in one line" test "$(wc -l <<<"$output")" = 1
passes "and leaves nothing behind" test -z "$(find "$work/cache" -name 'tmp.*')"
passes "nor a tree" test ! -e build/linux-6.1

base=$(scripts/lib/base)
mkdir -p "$work/cache/base"
for old in 6.1.9-1 6.1.10-1; do
	cp -al "$base" "$work/cache/base/linux-source-6.1_${old}_0" 2>/dev/null ||
		cp -a "$base" "$work/cache/base/linux-source-6.1_${old}_0"
done
output=$("${offline[@]}" scripts/lib/base 2>&1 >"$work/base")
passes "no network and a cached base says which" grep -q "using the cached linux-source-6.1_6.1.10-1" <<<"$output"
passes "and takes the newest" test "$(cat "$work/base")" = "$work/cache/base/linux-source-6.1_6.1.10-1_0"
rm -rf "$work/cache"

if mkdir "$work/cache" && mount -t tmpfs -o size=1m tmpfs "$work/cache" 2>/dev/null; then
	refuses "no space in the cache" "needs 1000, so free some or set VFIO_SERIES_CACHE" \
		env VFIO_SERIES_CACHE="$work/cache" scripts/lib/base
	passes "writes nothing there" test -z "$(find "$work/cache" -type f)"
	umount "$work/cache"
else
	skip "no space in the cache" "needs root to mount a tmpfs"
fi
finish
