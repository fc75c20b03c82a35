#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What scripts/check and scripts/nightly make of suites: here these are two that each
# test writes itself.
# shellcheck disable=SC2016	# what a stub says is expanded there
. "$(dirname "$0")/tap.sh"
unset VFIO_TEST_LONG VFIO_TEST_SECONDS

stub()
{
	printf '#!/bin/bash\n%s\n' "$2" >"scripts/$1"
	chmod 755 "scripts/$1"
}

stub bootstrap 'exit 0'
stub lint 'echo "ok 1 - a line # SKIP only root may do that"; echo "ok 2 - another"'
stub kunit 'echo "not ok 1 - a line"; exit 1'
output=$(scripts/check lint kunit 2>&1) || status=$?
passes "a suite that fails makes all fail" test "${status:-0}" = 1
passes "all results are counted" test "$(tail -n 1 <<<"$output")" = "1 passed, 1 failed, 1 skipped"
refuses "an unknown suite among others" "no suite typo: choose from: .* lint " scripts/check lint typo

stub kunit 'kill -KILL $PPID'
output=$(scripts/check kunit 2>/dev/null || true)
passes "a suite that is killed has failed" test "$output" = "$(printf '%s\n' "not ok - kunit was killed" "0 passed, 1 failed, 0 skipped")"
stub kunit 'exit 0'
output=$(scripts/check kunit 2>&1 || true)
passes "so has one without a result" test "$(tail -n 1 <<<"$output")" = "0 passed, 1 failed, 0 skipped"
stub kunit 'echo "ok 1 - a line # SKIP it rains"'
output=$(scripts/check kunit 2>&1 || true)
passes "and what is skipped for a reason that is not listed" \
	test "$(tail -n 1 <<<"$output")" = "0 passed, 1 failed, 0 skipped"
stub kunit 'echo "ok 1 - a line # SKIP the IOMMU translates all IOVAs"'
output=$(scripts/check kunit 2>&1 || true)
passes "or is listed for another suite" \
	test "$(tail -n 1 <<<"$output")" = "0 passed, 1 failed, 0 skipped"
passes "other kernels may lack anything" env FLAVOUR=bench scripts/check kunit

stub kunit 'printf "# a_test as root\nok 1 - a line # SKIP no trace: run as root\n"'
output=$(scripts/check kunit 2>&1 || true)
passes "or because root is not root" test "$(tail -n 1 <<<"$output")" = "0 passed, 1 failed, 0 skipped"

# stops NAME COMMAND...: which starts a suite that goes on for long
stops()
{
	local name=$1 pid status=0

	shift
	rm -f build/suite
	"$@" >/dev/null 2>&1 &
	pid=$!
	until [[ -s build/suite ]] || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
	kill -TERM $pid
	wait $pid || status=$?
	passes "$name can be stopped" test $status = 130
	# It is init's child then, which has to look for it.
	for _ in {1..100}; do
		[[ -d /proc/$(<build/suite) ]] || break
		sleep 0.1
	done
	passes "and its suites with it" test ! -d "/proc/$(<build/suite)"
}

stub kunit 'sleep 1000 & echo $! >build/suite; wait'
stops check scripts/check kunit
stub check 'sleep 1000 & echo $! >build/suite; wait'
stops nightly scripts/nightly

stub check 'echo "check [$*] $FLAVOUR, $VFIO_TEST_LONG, $VFIO_TEST_SECONDS" >>build/parts; exit 1'
stub coverage 'echo coverage >>build/parts'
stub build 'echo "build [$FLAVOUR]" >>build/parts'
refuses "nightly tells what failed" "failed: check, kcsan$" scripts/nightly
passes "after all of its parts" diff - build/parts <<'EOF'
check [] , 1, 600
coverage
build [kcsan]
check [kselftest-1 kselftest-2] kcsan, , 600
build []
EOF
finish
