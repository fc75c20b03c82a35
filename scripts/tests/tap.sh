# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced by the tests of the scripts: TAP, and a copy of the repository to
# work in, so that the user's checkout and its generated tree are left alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
work=$(mktemp -d /var/tmp/vfio-series-test.XXXXXX)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
# Settings of the caller's own build are no part of the tests.
unset MAKEFLAGS MAKELEVEL BASE BASE_VERSION FLAVOUR ARCH FORCE
export VFIO_SERIES_CACHE=${VFIO_SERIES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vfio-series}
export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@localhost
export GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@localhost
mkdir "$work/bin" "$work/repo"

count=0
failed=0
echo "TAP version 13"
finish() { echo "1..$count"; exit $failed; }
skip() { count=$((count + 1)); echo "ok $count - $1 # SKIP $2"; }

# result STATUS NAME [OUTPUT]
result()
{
	count=$((count + 1))
	if (($1 == 0)); then
		echo "ok $count - $2"
	else
		failed=1
		echo "not ok $count - $2"
		printf '%s\n' "${3:-}" | sed 's/^/# /'
	fi
}

# passes NAME COMMAND...
passes()
{
	local name=$1 output status=0

	shift
	output=$("$@" 2>&1) || status=1
	result $status "$name" "$output"
}

# refuses NAME PATTERN COMMAND...: it fails, with exactly one line on stderr,
# which matches, and leaves nothing half-written.
refuses()
{
	local name=$1 pattern=$2 output status=0

	shift 2
	if output=$("$@" 2>&1 >/dev/null); then
		status=1
	fi
	[[ $(wc -l <<<"$output") == 1 ]] || status=1
	grep -qE "$pattern" <<<"$output" || status=1
	result $status "$name" "expected one line like '$pattern', got: $output"
	output=$(find "$work/repo/build" "$work/cache" -maxdepth 2 -name 'tmp.*' 2>/dev/null || true)
	[[ -z $output ]] || result 1 "$name leaves nothing behind" "$output"
}

# fake NAME LINE: a command that the scripts find instead of the real one.
fake()
{
	printf '#!/bin/bash\n%s\n' "$2" >"$work/bin/$1"
	chmod 755 "$work/bin/$1"
}

# in_overlay ROOT COMMAND...: in a chroot to a copy-on-write view of a root, which has this
# host's devices, the cache, and $work and the checkout at their places. What the command
# writes elsewhere is in $work/upper, and the next one sees it.
in_overlay()
{
	local binds=(/dev /proc "$VFIO_SERIES_CACHE" "$work" "$here")

	mkdir -p "$work/upper" "$work/work" "$work/root"
	# shellcheck disable=SC2016	# for the other shell
	unshare -m bash -c '
		set -e
		work=$1 lower=$2 count=$3
		shift 3
		mount -t overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
		for dir in "${@:1:count}"; do
			mkdir -p "$work/root$dir"
			mount --bind "$dir" "$work/root$dir"
		done
		exec chroot "$work/root" "${@:count + 1}"' bash "$work" "$1" ${#binds[@]} "${binds[@]}" "${@:2}"
}

# Each check of dkms.sh has left its name, status and output.
dkms_results()
{
	local check

	for check in "$work/upper/checks/"*; do
		result "$(<"$check/status")" "$(<"$check/name")" "$(<"$check/output")"
	done
	passes "all of this was looked at" test -e "$work/upper/checks-done" || cat "$work/log"
}

(cd "$here" && git ls-files -co --exclude-standard -z | while IFS= read -r -d '' file; do
	[[ ! -f $file ]] || printf '%s\0' "$file"
done | tar -c --null -T -) | tar -x -C "$work/repo"
cd "$work/repo"
git init -q -b main
git add -A
git commit -q -m copy
tree=$work/repo/build/linux-6.1
commit_all() { git -C "$tree" commit -q -a "$@"; }

# small_base: from here on the base kernel has only what the patches edit and
# what its own configuration program needs; a whole one takes minutes to check out
# again and again.
small_base()
{
	local real small

	real=$(scripts/lib/base)
	small=$work/cache/base/${real##*/}
	mkdir -p "$work/cache/base"
	git init -q --bare -b base "$small"
	{
		git -C "$real" ls-tree base | awk '$2 == "blob" { print $4 }'
		sed -n 's|^--- a/||p' patches/6.1/*/*.patch
		printf '%s\n' scripts arch/x86/Makefile drivers/vfio/mdev/Makefile
	} | sort -u | xargs -d '\n' git -C "$real" archive --prefix=linux/ base -- |
		scripts/lib/tar-to-git "linux-source-6.1 small" |
		git -C "$small" fast-import --quiet --done
	export VFIO_SERIES_CACHE=$work/cache
}
