# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after lib.sh by what looks for mistakes and prints TAP: compiling, the
# warnings that the stock kernel does not have, and what has passed before.

lint=$ROOT/build/lint-$BASE
stock=$ROOT/build/stock-$BASE
passed=$CACHE/lint
mkdir -p "$passed"
need_tree
# What decides about a check: all of our tree, or the part of it that the kernel and the
# test modules are built from.
all=$(tgit rev-parse 'HEAD^{tree}')
kernel=$(kernel_part HEAD | sha256sum)

changed() { tgit diff --no-renames --name-only --diff-filter="$1" base HEAD -- "${@:2}"; }
mapfile -t touched < <(changed AM '*.[ch]' ':!tools'; changed AM "$TEST_MODULES/*.[ch]")
# The directories with kernel code, without those below another one.
mapfile -t dirs < <(changed AM '*.c' ':!tools' ':!samples' | xargs -r dirname | sort -u |
	awk '!top || index($0, top "/") != 1 { print; top = $0 }')

# One line a warning, without the parts that move when a line is added.
warnings()
{
	{ grep -E "warning:|error:|WARNING|ERROR|\*\*\*|^[^ ]+:[0-9]+:[0-9]+-[0-9]+:" || true; } |
		sed -E -e "s#($lint|$stock)/##g" -e 's#^(\.\./)+##' -e 's/:[0-9]+(:[0-9]+(-[0-9]+)?)?:/:/g' | sort -u
}

# only_new COMMAND...: what it warns of in our tree and not in the stock one, which
# is only asked if there is something. A command that fails has seen nothing,
# which must not look like no warnings.
only_new()
{
	((${#dirs[@]} + ${#touched[@]})) || return 0
	"$@" "$lint" >"$TMP/ours" 2>&1 || echo "$1 fails: $(tail -1 "$TMP/ours")"
	warnings <"$TMP/ours" >"$TMP/ours.warnings"
	[[ -s $TMP/ours.warnings ]] || return 0

	scripts/lib/checkout "$stock" base
	"$@" "$stock" >"$TMP/stock" 2>&1 || echo "$1 fails in the stock kernel: $(tail -1 "$TMP/stock")"
	comm -13 <(warnings <"$TMP/stock") "$TMP/ours.warnings"
}

# dirs_of TREE: the directories that it has, as the targets that build them.
dirs_of()
{
	local dir

	for dir in "${dirs[@]}"; do
		[[ ! -d $1/$dir ]] || echo "$dir/"
	done
}

# compile TREE OUT FRAGMENT... -- [TARGET]...: with all warnings, those directories,
# more targets and the test modules. All of it, or warnings of the last time would be
# missing.
compile()
{
	local tree=$1 out=$2 fragments=() targets

	shift 2
	for (( ; $# ; )); do
		[[ $1 != -- ]] || break
		fragments+=("$1")
		shift
	done
	shift
	mapfile -t targets < <(dirs_of "$tree")
	targets+=("$@")
	(cd "$tree" && mkdir -p "$out" && cd "$out" && rm -rf "${targets[@]}") &&
		STOCK=1 scripts/lib/config "$tree" "$out" "${fragments[@]}" &&
		kmake "$tree" "$out" W=1 -k "${targets[@]}" &&
		compile_test_modules "$tree" "$out" W=1 -k
}

count=0
failed=0
# check NAME COMMAND...: one line of TAP.
check()
{
	local name=$1 output

	count=$((count + 1))
	shift
	output=$("$@" 2>&1 || echo "$* failed")
	if [[ -z $output ]]; then
		echo "ok $count - $name"
	else
		failed=1
		echo "not ok $count - $name"
		diag <<<"$output"
	fi
}

# check_once INPUT NAME COMMAND...: the same, for what depends on nothing but INPUT
# and $tools: what passed with these is not run again. A command that has something
# to keep, writes it to the file $TMP/kept; then $kept is where it is now.
check_once()
{
	local key before=$failed

	key=$passed/$(sha256sum <<<"$tools $*" | cut -d' ' -f1)
	kept=$key
	shift
	if [[ -f $key ]]; then
		count=$((count + 1))
		echo "ok $count - $1"
		return
	fi
	failed=0
	rm -f "$TMP/kept"
	check "$@"
	if ((!failed)); then
		[[ -f $TMP/kept ]] || : >"$TMP/kept"
		mv "$TMP/kept" "$key"
	fi
	failed=$((failed | before))
}
