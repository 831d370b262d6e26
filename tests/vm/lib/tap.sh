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

# The files whose ends are shown after each test that fails, one a word.
evidence=

# ok STATUS TEXT [FILE...]: STATUS is 0 for a success, as $? has it. The ends of FILEs are
# shown after a failure, too.
ok() {
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
		return
	fi
	echo "not ok $count - $2"
	failures=$((failures + 1))
	shift 2
	local file
	for file in "$@" $evidence; do
		diag "$(tail -n 200 "$file" 2>&1)"
	done
}

# is TEXT GOT WANTED
is() {
	[ "$2" = "$3" ]
	compared $? "$1" "$2" "$3"
}

# at_least TEXT GOT LEAST: the same for numbers.
at_least() {
	[ "$2" -ge "$3" ]
	compared $? "$1" "$2" "$3 or more"
}

compared() {
	[ "$1" -eq 0 ] || printf 'got:    %s\nwanted: %s\n' "$3" "$4" >/run/lab/compared
	ok "$1" "$2" /run/lab/compared
}

skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# skip_all WHY: instead of plan, where nothing can be tested.
skip_all() {
	echo "TAP version 13"
	echo "1..0 # SKIP $1"
	exit 4
}

# To be the last line of a script: its status is that of a kselftest.
finish() { [ "$failures" -eq 0 ]; }
