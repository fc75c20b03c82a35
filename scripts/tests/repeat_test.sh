#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# scripts/repeat: counts, and goes on where it was stopped.
# shellcheck disable=SC2016	# what a command says is expanded there
. "$(dirname "$0")/tap.sh"

# Fails each third time, once because its machine stands still
cat >"$work/bin/command" <<-'END'
	#!/bin/bash
	echo x >>"$1"
	runs=$(wc -l <"$1")
	[[ ! ${HANG:-} || $runs != "$HANG" ]] || { echo $$ >"$1.pid"; exec sleep 1000; }
	((runs != 3)) || { echo "vmtest: the machine stands still: no output"; exit 123; }
	((runs % 3)) || { echo "not ok 1 - something"; exit 1; }
END
chmod 755 "$work/bin/command"

refuses "no number" "TIMES is a number from 1, not 'often'" scripts/repeat often name
refuses "no name" "usage: " scripts/repeat 3
output=$(scripts/repeat 7 some "$work/bin/command" "$work/runs") || status=$?
passes "a failure makes it fail" test "${status:-0}" = 1
passes "counts" grep -qE '^some: 7 runs, 5 passed, 2 failed, 1 of these stood still; [0-9]+ s each; build/log/repeat-some$' \
	<<<"$output"
passes "why, for each" grep -qE '^6 1 [0-9]+ s: not ok 1 - something$' <<<"$output"
passes "keeps the output" grep -q 'stands still' build/log/repeat-some/3.log

output=$(scripts/repeat 8 some "$work/bin/command" "$work/runs" || true)
passes "goes on" test "$(grep -c '^8 0 ' <<<"$output") $(wc -l <"$work/runs")" = "1 8"
output=$(scripts/repeat 8 some "$work/bin/command" "$work/runs" || true)
passes "and only counts when all is done" test "$(wc -l <<<"$output") $(wc -l <"$work/runs")" = "1 8"
refuses "another command" "is of another command, .*FORCE=1" scripts/repeat 9 some true
passes "begins anew" env FORCE=1 scripts/repeat 2 some true
passes "for good" test "$(wc -l <build/log/repeat-some/results)" = 2

HANG=2 scripts/repeat 5 stop "$work/bin/command" "$work/stopped" >/dev/null 2>&1 &
pid=$! status=0
until [[ -s $work/stopped.pid ]] || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
kill -TERM $pid
wait $pid || status=$?
passes "can be stopped" test $status = 130
passes "and its command with it" test ! -d "/proc/$(<"$work/stopped.pid")"
passes "which is not counted" test "$(wc -l <build/log/repeat-stop/results)" = 1

stub=scripts/check
printf '#!/bin/bash\necho "suite $*"\n' >$stub
chmod 755 $stub
scripts/repeat 1 guest >/dev/null
passes "runs a suite by its name" grep -qx 'suite guest' build/log/repeat-guest/1.log
finish
