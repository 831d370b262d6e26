# SPDX-License-Identifier: GPL-2.0
#
# Memory is taken out of the machine. The heaps never use what is meant for that (ZONE_MOVABLE).
# What they keep in other memory holds it: the kernel takes it for unmovable, and asks nobody.
# pool_cap=0 first helps, as the documentation says.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
[ -d /sys/devices/system/node/node1 ] || skip_all "the machine has one NUMA node: suite-nodes has two"
need_heaps
set -- $(own_heaps)
plan $((2 * $# + 8))

held() { cat "$(heap_dir "$1")/pool_held"; }

# In a zone of this name, the memory blocks that can be taken out: those at the end.
blocks_in() {
	for block in $(ls -1d /sys/devices/system/memory/memory* | sort -rV); do
		[ "$(cat "$block/state")" = online ] || continue
		case $(cat "$block/valid_zones") in
		"$1"*) echo "$block" ;;
		*) return ;;
		esac
	done
}

# on_node COMMAND...: on the processor of the node that has them.
on_node() { taskset 2 "$@"; }

# Nothing shall go because it is idle, nor for want of a living buffer.
for heap; do
	echo 600000 >"$(heap_dir "$heap")/pool_trim_ms"
	hold "$heap" 4K
	living="$living $holder"
	on_node dmaheap alloc "$heap" 4M --hold 1ms >/dev/null 2>&1
	at_least "$heap: a freed buffer is kept" "$(held "$heap")" 4194304
done

movable=$(blocks_in Movable)
at_least "memory can be taken out" "$(echo "$movable" | wc -w)" 1
# From the end, so that the others can leave the zone, too.
failed=
for block in $movable; do
	echo offline >"$block/state" || failed="$failed $block"
done
is "it goes offline" "$failed" ""
for heap; do
	at_least "$heap: what is kept is not there, and stays" "$(held "$heap")" 4194304
done

# As ordinary memory of the node, from its beginning.
failed=
for block in $(echo "$movable" | sort -V); do
	echo online_kernel >"$block/state" || failed="$failed $block"
done
is "it comes back as ordinary memory" "$failed" ""
system=$(own_heaps | grep '^system')
dir=$(heap_dir "$system")
limit=$(cat "$dir/limit")
cap=$(cat "$dir/pool_cap")
# More than the node has without it.
free=$(awk '$1 == "Node" && $2 == "1" && $3 == "MemFree:" { print $4 }' /sys/devices/system/node/node1/meminfo)
echo $((2 * limit)) >"$dir/limit"
echo $((2 * limit)) >"$dir/pool_cap"
on_node dmaheap alloc "$system" $((free - 65536))K --hold 1ms >/dev/null 2>&1
at_least "the pool keeps nearly all of the node" "$(held "$system")" $(((free - 65536) * 1024))
block=$(echo "$movable" | head -n 1)
# The kernel shows the page that it could not move.
expect_log any '^page dumped because: unmovable page$'
! echo offline >"$block/state" 2>/dev/null
ok $? "what is kept there holds it"
echo 0 >"$dir/pool_cap"
is "pool_cap=0 gives it back" "$(held "$system")" 0
# The kernel may have pages of its own in one. Those of its slabs it takes for movable
# (page_is_unmovable()), and then it tries until a signal comes.
offline=
for _ in $(seq 30); do
	for block in $movable; do
		! timeout 3 sh -c "echo offline >$block/state" 2>/dev/null || offline=$block
	done
	[ -z "$offline" ] || break
	# With caches go some of the slabs.
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
done
at_least "and it goes offline" "$(echo "$offline" | wc -w)" 1

echo "$limit" >"$dir/limit"
echo "$cap" >"$dir/pool_cap"
# shellcheck disable=SC2086 # processes, one a word
release $living
for block in $movable; do
	[ "$(cat "$block/state")" = online ] || echo online_movable >"$block/state"
done
is "all of it comes back" "$(cat /sys/devices/system/memory/memory*/state | grep -vc online)" 0
finish
