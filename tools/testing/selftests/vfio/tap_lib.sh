# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154
#
# Sourced by tests that are shell scripts: what they state, and TAP. A test is a
# function whose name begins with test_; it sets $skip to the reason when it cannot
# be done. Its commands leave their status in $status, and their output in files in
# $tmp, of which show_output() prints what one wants to see after a failure.

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
number=0 failed=0 name=''

# One test a function: it states what it expects, and goes on after a failure.
expect() { # description, command...
	local what=$1
	shift
	"$@" || { echo "# $name: $what: not so: $*"; bad=1; }
}

returned() { [[ $status == "$1" ]]; }

# Run these, and end.
run_tests() { # test...
	echo "1..$#"
	for name; do
		number=$((number + 1)) bad=0 skip=
		$name
		if [[ $skip ]]; then
			echo "ok $number $name # SKIP $skip"
		elif [[ $bad == 0 ]]; then
			echo "ok $number $name"
		else
			echo "not ok $number $name"
			echo "# status $status"
			show_output | sed 's/^/# /'
			failed=1
		fi
	done
	exit $failed
}
