#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The series applies to the oldest base it is for and to the newest that the archive has,
# without fuzz, and the mails make the same tree as the patches. On the oldest one
# it compiles as well; the newest is what all other checks are for. Of another base than
# the default, the modules compile for Debian's newest kernel. A base that is newer than all
# that were tried is tried with the patches of the newest of these.
. "$(dirname "$0")/tap.sh"

for base in $(cd patches && printf '%s\n' */series | cut -d/ -f1); do
	export BASE=$base
	tree=$work/repo/build/linux-$base
	mapfile -t newer < <(scripts/lib/base --newer 2>/dev/null)
	for package in "${newer[@]}"; do
		if output=$(BASE_VERSION=${package#* } scripts/apply 2>&1); then
			result 0 "apply to $package, newer than was tried"
		else
			skip "apply to $package" "newer than was tried: $(tail -n 1 <<<"$output")"
		fi
	done
	mapfile -t versions < <(scripts/lib/base --versions 2>/dev/null)
	if ((!${#versions[@]})); then
		skip "apply to linux-source-$base" "apt does not know it"
		continue
	fi
	# The oldest one of the others is for "make nightly".
	[[ $base == 6.1 || ${VFIO_TEST_LONG:-} ]] || versions=("${versions[-1]}")
	for version in $(printf '%s\n' "${versions[0]}" "${versions[-1]}" | uniq); do
		passes "apply to linux-source-$base $version" env BASE_VERSION="$version" scripts/apply
		passes "export from $version" env BASE_VERSION="$version" scripts/series
		mapfile -t mails < <(cd "build/series/$(awk '!/^#/ && NF { print $1 }' "patches/$base/topics" | tail -n 1)" &&
			xargs realpath <series.list)
		export GIT_INDEX_FILE=$work/index
		git -C "$tree" read-tree base
		passes "the mails apply to $version" \
			git -C "$tree" apply --cached --whitespace=nowarn "${mails[@]}"
		passes "and make the same tree" \
			test "$(git -C "$tree" write-tree)" = "$(git -C "$tree" rev-parse 'HEAD^{tree}')"
		unset GIT_INDEX_FILE
		[[ $base != 6.1 || $version != "${versions[0]}" ]] ||
			passes "it compiles on $version" scripts/bisect-check --compile --last
	done
	if [[ ${VFIO_TEST_LONG:-} ]]; then
		passes "refresh of $base" scripts/refresh
		passes "changes no file" test -z "$(git status --porcelain)"
	fi
	[[ $base != 6.1 ]] || continue
	refuses "what is missing for base $base" "'bench' is there for base 6.1 only" scripts/bench
	[[ -f packaging/$base/dkms.conf ]] ||
		refuses "a package for base $base" "there is no package for base $base yet" scripts/deb
	passes "its tests build" scripts/kselftests
	if ! kernel=$(scripts/lib/debian-kernel 2>/dev/null) || [[ $kernel != "$base".* ]]; then
		skip "modules for Debian's kernel $base" "apt does not know it"
		continue
	fi
	if [[ -f patches/$base/suites ]] && ((EUID)); then
		skip "modules for Debian's kernel ${kernel%% *}" "a root of another suite is made by root"
		continue
	fi
	passes "modules for Debian's kernel ${kernel%% *}" scripts/modules
	# That the system's lists do not have is refused in another way.
	[[ ! -f patches/$base/suites ]] || continue
	refuses "modules for a kernel of another base" "the modules of base 6\.1 do not fit a kernel $base" \
		env BASE=6.1 KERNEL="${kernel%% *}" scripts/modules
done

# Without a name in git's configuration, mails have no sign-off, and a note says so.
export BASE=6.1 GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
passes "apply without a name" scripts/apply
output=$(scripts/series 2>&1 >/dev/null || true)
passes "export without a name says that there is no sign-off" grep -q "without sign-off: set user.name" <<<"$output"
passes "and signs off nothing" test -z "$(grep -l "^Signed-off-by:" build/series/*/*.patch)"
git config user.name "A Tester"
git config user.email tester@localhost
passes "apply with a name" scripts/apply
passes "export with a name" scripts/series
passes "signs off each patch" test -z "$(grep -L "^Signed-off-by: A Tester <tester@localhost>" build/series/*/000[1-9]*)"
passes "names the base" grep -q "^base-commit: $(git -C build/linux-6.1 rev-parse base)" build/series/fixes/0000-*
finish
