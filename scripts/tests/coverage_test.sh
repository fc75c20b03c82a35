#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The report of the coverage: what was missed needs a reason, and a reason a function.
. "$(dirname "$0")/tap.sh"

# Forty lines of two functions; the last one, of the second function, is executed if there
# is a number.
count_lines() # COUNT
{
	local line lines=()

	for ((line = 1; line <= 40; line++)); do
		lines+=("{\"line_number\": $line, \"count\": $((line < 40 ? 1 : $1)),
			\"function_name\": \"$( ((line < 20)) && echo first || echo second)\", \"branches\": []}")
	done
	echo "{\"current_working_directory\": \"$work/tree/out\", \"files\": [{\"file\": \"../drivers/a.c\",
		\"lines\": [$(IFS=,; echo "${lines[*]}")]}]}" | paste -sd' ' >counts/json
}

# report REASON...: with these lines as the reasons
report()
{
	printf '%s\n' "$@" >reasons
	scripts/lib/coverage-report counts "$work/tree" reasons
}

mkdir -p "$work/tree/drivers" counts
printf 'line %s\n' {1..40} >"$work/tree/drivers/a.c"
printf '+++ b/drivers/a.c\n@@ -0,0 +1,40 @@\n' >counts/diff
first=$'\tdrivers/a.c: first' second=$'\tdrivers/a.c: second'

count_lines 1
passes "all was executed, and there is no reason" report ""
output=$(report "A reason." "$first")
passes "a reason that is not needed is told" \
	grep -qx "executed this time, so no reason is needed: drivers/a.c: first" <<<"$output"
refuses "a reason for a function that is not there" \
	"^coverage: drivers/a.c: third is not in this kernel: remove it from reasons$" \
	report "A reason." $'\tdrivers/a.c: third'
refuses "a function without a reason above it" "no reason in reasons for drivers/a.c: first" \
	report "A reason." "" "$first"

count_lines 0
missed="coverage: drivers/a.c:40: line missed, without a reason in reasons: drivers/a.c: second: line 40"
refuses "a line that was missed, without a reason" "^$missed$" report ""
refuses "the reason of another function" "^$missed$" report "A reason." "$first"
passes "its own reason" report "A reason." "$second"
passes "one of several" report "A reason." "$second" "" "Another one." "$second"
passes "what was missed is in a file" \
	test "$(<counts/missed)" = "drivers/a.c:40: line: drivers/a.c: second: line 40"
printf '+++ b/drivers/a.c\n@@ -0,0 +31,10 @@\n' >counts/diff
refuses "too little" "^coverage: 90.0 % of the lines were executed, less than 95 %$" report "A reason." "$second"
finish
