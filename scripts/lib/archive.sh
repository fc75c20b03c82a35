# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced after lib.sh by what asks apt for a base. A base may be of a suite of Debian's that
# is not among this system's sources: patches/BASE/suites names those. They are asked in
# lists of our own, in the cache; the system's lists and settings stay as they are.

# Options of apt-get and apt-cache; none for the system's own lists
APT=()

# A newer base than was tried has the patches of the newest that was: BASE_VERSION chooses it.
if [[ -f $PATCHES/suites && ${BASE_VERSION:-} =~ ^(${BASE%%.*}\.[0-9]+)[.-] ]]; then
	PACKAGE=linux-source-${BASH_REMATCH[1]}
fi

suites() { [[ -f $PATCHES/suites ]] && sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$PATCHES/suites"; }
known() { [[ $(apt-cache "${APT[@]}" madison "$PACKAGE" 2>/dev/null) ]]; }

# The lists are as old as a day, or of any age without the network.
update_lists()
{
	local lock

	exec {lock}<"$1"
	flock "$lock"
	if [[ ! -f $1/updated || ! $1/updated -nt $1/sources.list || $(find "$1/updated" -mtime +0) ]]; then
		note "looking for $PACKAGE in $(suites | paste -sd' ') (11 MB, once a day)"
		if apt-get "${APT[@]}" -qq update >/dev/null 2>&1 {lock}<&-; then
			touch "$1/updated"
		else
			note "cannot update the lists of $(suites | paste -sd' '): check the network"
		fi
	fi
	exec {lock}<&-
}

# mirror LABEL: where the system's sources get Debian from, or Debian-Security
mirror()
{
	# shellcheck disable=SC2016	# apt expands it
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
		"Label: $1" 2>/dev/null | sed -n '/^[a-z]*:/p' | sed -n 1p
}

choose_lists()
{
	local dir=$CACHE/apt keyring=/usr/share/keyrings/debian-archive-keyring.gpg uri

	if ! suites >/dev/null || known; then
		return 0
	fi
	uri=$(mirror Debian)
	if [[ ! $uri || ! -r $keyring ]]; then
		note "no lists of $(suites | paste -sd' '): apt has no source of Debian's, or $keyring is missing"
		return 0
	fi
	mkdir -p "$dir/lists/partial" "$dir/archives/partial" 2>/dev/null ||
		die "cannot write to $dir: check its owner and the free space"
	suites | sed "s|.*|deb [arch=$(dpkg --print-architecture) signed-by=$keyring] $uri & main|" >"$dir/sources.$$"
	if cmp -s "$dir/sources.$$" "$dir/sources.list"; then
		rm "$dir/sources.$$"
	else
		mv "$dir/sources.$$" "$dir/sources.list"
	fi
	APT=(-o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
		-o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir" -o Acquire::Languages=none
		-o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache=srcpkgcache.bin
		-o APT::Default-Release= -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any)
	update_lists "$dir"
}

# newer_bases: the packages of the same major version that are newer than those tried, each
# with its newest version
newer_bases()
{
	local package tried

	tried=$(choices patches /series | tr ' ' '\n' | sort -V | tail -n 1)
	apt-cache "${APT[@]}" pkgnames "linux-source-${BASE%%.*}." | sort -V | while read -r package; do
		dpkg --compare-versions "${package#linux-source-}" gt "$tried" || continue
		echo "$package $(apt-cache "${APT[@]}" madison "$package" | awk '{ print $3 }' | sort -uV | tail -n 1)"
	done
}
