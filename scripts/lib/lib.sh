# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
# Sourced by every script: settings, places, and how to stop.

set -euo pipefail
# A failure inside of $(...) counts as well.
shopt -s inherit_errexit

# A caller's make or git hook must not leak into the kernel's make or our git.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
# A name comes from git's configuration, where the commits' hash sees it.
unset "${!GIT_AUTHOR_@}" "${!GIT_COMMITTER_@}"
export LC_ALL=C

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$ROOT"

say() { echo "$*"; }
note() { echo "${0##*/}: $*" >&2; }
diag() { sed 's/^/# /'; }	# output as it is allowed in between lines of TAP
die() { note "$*"; exit 1; }

[[ $ROOT != *[[:space:]:]* ]] ||
	die "the kernel's make takes no blank or colon in a path: clone to somewhere else than '$ROOT'"

# A setting comes from the environment (so from make's command line too), then
# from .config, then from here. The defaults repeat those of Kconfig.
setting()
{
	local value=${!1:-}

	if [[ -z $value && -f .config ]]; then
		value=$(sed -n "s/^CONFIG_$1=//p" .config | tr -d '"')
	fi
	printf -v "$1" %s "${value:-$2}"
}

DEFAULT_BASE=6.1
setting BASE $DEFAULT_BASE
setting FLAVOUR debug
setting ARCH x86_64
setting VM_MEMORY 2G
setting VM_CPUS 1
JOBS=${JOBS:-$(nproc)}

# choices DIRECTORY [SUFFIX]: what there is to choose from, on one line.
choices() { (cd "$1" && printf '%s\n' *"${2:-}") | sed "s|${2:-}\$||" | paste -sd' '; }

[[ -f patches/$BASE/series ]] ||
	die "unknown base '$BASE': choose one of: $(choices patches /series)"
[[ -f scripts/data/flavours/$FLAVOUR.config ]] ||
	die "unknown flavour '$FLAVOUR': choose one of: $(choices scripts/data/flavours .config)"
[[ $ARCH == x86_64 ]] ||
	die "unknown architecture '$ARCH': choose x86_64"

PACKAGE=linux-source-$BASE
PATCHES=patches/$BASE
# What is built for Debian's kernel of another base than the default has a place of its own.
DEBIAN=debian
[[ $BASE == "$DEFAULT_BASE" ]] || DEBIAN=debian-$BASE
# With TOPIC, the generated tree has that topic and what it needs, and is another one.
TOPIC=${TOPIC:-}
TREE=$ROOT/build/linux-$BASE${TOPIC:+-$TOPIC}
CACHE=${VFIO_SERIES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vfio-series}

# Object files are the same wherever the checkout is: paths below it are
# relative for ccache, and so are those that the kernel's make uses as long as
# the output directory is a direct subdirectory of the source tree.
export CCACHE_DIR=$CACHE/ccache CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1
export CCACHE_DEPEND=1 CCACHE_COMPILERCHECK=content CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-5G}
export CCACHE_SLOPPINESS=include_file_mtime,include_file_ctime

# scratch DIRECTORY: make a directory there that goes away with the script.
# It is on the same file system as the result, which is then renamed.
scratch()
{
	mkdir -p "$1" 2>/dev/null || die "cannot write to $1: check its owner and the free space"
	TMP=$(mktemp -d "$1/tmp.XXXXXX" 2>/dev/null) ||
		die "cannot write to $1: check its owner and the free space"
	trap 'rm -rf "$TMP"' EXIT
	trap 'exit 130' INT TERM HUP
}

# need_space DIRECTORY MEGABYTES WHY
need_space()
{
	local dir=$1 free

	until [[ -d $dir ]]; do dir=$(dirname "$dir"); done
	free=$(df --output=avail -BM "$dir" | tail -1 | tr -dc 0-9)
	((free >= $2)) || die "no space for $3: $1 has $free MB free and needs $2, so free some$(
		[[ $1 != "$CACHE"* ]] || echo " or set VFIO_SERIES_CACHE")"
}

# The generated tree's git, without the user's taste in whitespace.
tgit() { git -C "$TREE" -c core.quotePath=false "$@"; }

need_tree() { [[ -f $TREE/.git/applied ]] || die "there is no generated tree: run 'make apply' first"; }

# Edits in the tree that are in no commit, or commits that apply did not make.
tree_dirty() { [[ -n $(tgit status --porcelain | head -1) ]]; }
tree_edited()
{
	local head

	read -r _ head _ <"$TREE/.git/applied" || return 0
	[[ $(tgit rev-parse HEAD) != "$head" ]] || tree_dirty
}

# KERNEL, or what there is: "debian", but "full" where Debian's kernel is of another base
# than the series, as in a Debian other than 12.
chosen_kernel()
{
	local found

	if [[ ${KERNEL:-} ]]; then
		echo "$KERNEL"
	elif ! found=$(scripts/lib/debian-kernel); then
		note "taking the full kernel instead of Debian's"
		echo full
	elif [[ $found != "$BASE".* ]]; then
		note "taking the full kernel: Debian's is ${found%% *}, and not of $BASE"
		echo full
	else
		echo debian
	fi
}

# topics SOURCE: one line a topic, in the order of the series: its name, then the topics
# that it needs.
topics() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1/$PATCHES/topics"; }
topic_names() { topics . | awk '{ print $1 }'; }

[[ ! $TOPIC ]] || topic_names | grep -qxF -- "$TOPIC" ||
	die "unknown topic '$TOPIC': choose one of: $(topic_names | paste -sd' ')"
case ${TOPIC:+${0##*/}} in
'' | apply | base | bisect-check | bootstrap | checkout | config) ;;
*) die "TOPIC is for apply and bisect-check: unset it to run ${0##*/}" ;;
esac

# What nobody has brought to each base yet
case $BASE:${0##*/} in
"$DEFAULT_BASE":*) ;;
*:bench | *:build | *:check | *:coverage | *:cross | *:docs | *:kernel-deb | *:kunit | *:lint | *:nightly)
	die "'${0##*/}' is there for base $DEFAULT_BASE only: with base $BASE, choose apply, series, modules, deb, run, stock, bisect-check or refresh" ;;
*:deb)
	[[ -f packaging/$BASE/dkms.conf ]] ||
		die "there is no package for base $BASE yet: choose apply, series, modules, run, stock, bisect-check or refresh" ;;
esac

# patch_list SOURCE: the patches in their order, each TOPIC/NAME; with TOPIC, only that
# topic and all that it needs. A line of the series may be BASE:TOPIC/NAME: a patch of
# another base, which applies here as it is. patch_file() knows where it is.
patch_list()
{
	{
		topics "$1"
		echo
		sed -e 's/#.*//' -e '/^[[:space:]]*$/d' -e 's/^[^:]*://' "$1/$PATCHES/series"
	} |
		awk -v only="$TOPIC" '
			!NF { patches = 1; next }
			!patches {
				wanted[$1] = $1 == only || only == ""
				for (i = 2; i <= NF; i++)
					needs[$1] = needs[$1] " " $i
				names[n++] = $1
				next
			}
			!closed++ {
				# What a topic needs comes before it.
				while (n--) {
					count = wanted[names[n]] ? split(needs[names[n]], list) : 0
					for (i = 1; i <= count; i++)
						wanted[list[i]] = 1
				}
			}
			wanted[substr($0, 1, index($0, "/") - 1)]'
}

# patch_file SOURCE NAME: the path of one of these, in that base's directory
patch_file()
{
	awk -v name="$2" -v base="$BASE" '
		$1 == name { exit }
		substr($1, length($1) - length(name)) == ":" name {
			base = substr($1, 1, index($1, ":") - 1)
			exit
		}
		END { print "patches/" base "/" name }' "$1/$PATCHES/series"
}

# The parts of a patch file.
patch_subject() { sed -n '1s/^Subject: //p' "$1"; }
patch_message() { sed -e 1d -e '/^---$/,$d' "$1"; }
patch_below() { sed -e '1,/^---$/d' -e '/^diff --git /,$d' "$1"; }
patch_diff() { sed -n '/^diff --git /,$p' "$1"; }
patch_new() { patch_below "$1" | sed -n 's/^New: //p'; }

# The configuration of a kernel that vmtest.sh can boot, without a flavour.
VM_CONFIG=(tools/testing/selftests/vfio/config tools/testing/selftests/vfio/config.vm)

# Modules that the tests use, built out of the kernel's tree
TEST_MODULES=tools/testing/selftests/vfio/modules

# kernel_part COMMIT: what the kernel and the test modules are built from. Other tests and
# documents make no other one.
kernel_part()
{
	tgit ls-tree "$1" | grep -vP '\t(Documentation|MAINTAINERS|tools)$'
	tgit ls-tree "$1" "$TEST_MODULES"
}

# What a kernel is built with, as part of the key of everything cached.
toolchain() { { gcc --version; ld --version; } | sha256sum | cut -c1-16; }

# What the names of an architecture's tools begin with.
declare -A PREFIX=([arm64]=aarch64-linux-gnu- [powerpc]=powerpc64le-linux-gnu- [s390]=s390x-linux-gnu-)

# kmake TREE OUT [ARGUMENT]...: the kernel's make, the same on every machine.
# COMPILER may be clang; TARGET is the architecture, if it is not this machine's.
# piggy.S has the compressed kernel by .incbin, which ccache does not see when it leaves
# the preprocessor out: without something unique it gives an old kernel of the same size.
kmake()
{
	local tree=$1 out=$2 target=${TARGET:-$ARCH} compiler=${COMPILER:-gcc}
	local prefix=${PREFIX[$target]:-}

	shift 2
	[[ $compiler == clang ]] || compiler=$prefix$compiler
	make -s -C "$tree" O="$tree/$out" ARCH="$target" CROSS_COMPILE="$prefix" -j"$JOBS" \
		CC="ccache $compiler" HOSTCC="ccache gcc" LOCALVERSION= KBUILD_BUILD_VERSION=1 \
		AFLAGS_piggy.o="-DUNIQUE=$(date +%s%N)" \
		KBUILD_BUILD_USER=vfio KBUILD_BUILD_HOST=series \
		KBUILD_BUILD_TIMESTAMP="Sat Jan  1 00:00:00 UTC 2000" "$@"
}

# test_modules TREE OUT [ARGUMENT]...: the kernel's make for the test modules, in a copy
# that build_test_modules has made.
test_modules()
{
	[[ ! -d $1/$TEST_MODULES ]] || kmake "$1" "$2" M="$1/$2/$TEST_MODULES" "${@:3}"
}

# build_test_modules TREE OUT [ARGUMENT]...: make them, all anew. The objects of a module
# are beside its source, so each kernel has a copy of the sources, in its output directory.
build_test_modules()
{
	rm -rf "${1:?}/$2/$TEST_MODULES"
	[[ -d $1/$TEST_MODULES ]] || return 0
	mkdir -p "$1/$2/${TEST_MODULES%/*}"
	cp -rp "$1/$TEST_MODULES" "$1/$2/$TEST_MODULES"
	test_modules "$@"
}

# compile_test_modules TREE OUT [ARGUMENT]...: only to objects. With a directory as the
# target, make does not ask for the kernel's symbols.
compile_test_modules() { build_test_modules "$@" KBUILD_MODULES=1 "$1/$2/$TEST_MODULES"; }

# logged LOG WHAT COMMAND...: run quietly; on failure show the lines that matter.
logged()
{
	local log=$ROOT/build/log/$1 what=$2

	shift 2
	mkdir -p "${log%/*}"
	"$@" >"$log" 2>&1 </dev/null && return
	{ grep -E 'error|Error |undefined|No space|\*\*\*' "$log" || tail -20 "$log"; } | tail -20 >&2
	die "$what failed: see $log"
}
