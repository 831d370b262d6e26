# SPDX-License-Identifier: GPL-2.0
#
# TAP. A script calls plan first, then ok or skip as often as it promised. What explains a
# failure comes after it: the lab prints the comments that follow `not ok`.

plan() {
	echo "TAP version 13"
	echo "1..$1"
	count=0
	failures=0
}

diag() { printf '%s\n' "$*" | sed 's/^/# /'; }

# ok STATUS TEXT: STATUS is 0 for a success, as $? has it.
ok() {
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		failures=$((failures + 1))
	fi
}

# is TEXT GOT WANTED
is() {
	if [ "$2" = "$3" ]; then
		ok 0 "$1"
	else
		ok 1 "$1"
		diag "got:    $2"
		diag "wanted: $3"
	fi
}

# at_least TEXT GOT LEAST: the same for numbers.
at_least() {
	if [ "$2" -ge "$3" ]; then
		ok 0 "$1"
	else
		ok 1 "$1"
		diag "got:    $2"
		diag "wanted: $3 or more"
	fi
}

skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# To be the last line of a script: its status is that of a kselftest.
finish() { [ "$failures" -eq 0 ]; }
