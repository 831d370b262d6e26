# SPDX-License-Identifier: GPL-2.0
#
# Memory is taken out of the machine: what the heaps keep warm goes before that,
# for it may lie there.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
set -- $(own_heaps)
plan $((3 * $# + 3))

counter() { cat "/sys/kernel/debug/$MODULE/$1/$2"; }

# A memory block that can be taken out, from the end.
removable() {
	for block in $(ls -1d /sys/devices/system/memory/memory* | sort -rV); do
		case $(cat "$block/state") in
		online)
			case $(cat "$block/valid_zones") in
			Movable*)
				echo "$block"
				return
				;;
			esac
			;;
		esac
	done
	return 1
}

for heap; do
	# Nothing shall go because it is idle.
	echo 600000 >"$(heap_dir "$heap")/pool_trim_ms"
	dmaheap alloc "$heap" 8M --hold 1ms >/dev/null 2>&1
	at_least "$heap: a freed buffer is kept" "$(counter "$heap" pool_held)" 8388608
done
block=$(removable)
ok $? "a memory block can be taken out"
echo offline >"$block/state"
is "it goes offline" "$(cat "$block/state")" offline
for heap; do
	is "$heap: what was kept went before" "$(counter "$heap" pool_held)" 0
	at_least "$heap: because the machine needed it" "$(counter "$heap" reclaimed)" 8388608
done
echo online_movable >"$block/state"
is "it comes back" "$(cat "$block/state")" online
finish
