# SPDX-License-Identifier: GPL-2.0
#
# A heap's attributes: everyone reads them, root alone writes the knobs, and
# they tell the truth.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
set -- $(own_heaps)
plan $((24 * $#))

for heap; do
	dir=$(heap_dir "$heap")
	for name in contiguous cacheable limit user_limit used keep_mappings map_at_mmap pool_cap pool_held pool_trim_ms; do
		value=$(as_nobody "cat $dir/$name")
		case $value in
		'' | *[!0-9]*) ok 1 "$heap: anyone reads a number from $name, not \"$value\"" ;;
		*) ok 0 "$heap: anyone reads $name" ;;
		esac
	done
	case $heap in
	default_cma_region*) is "$heap: is contiguous" "$(cat "$dir/contiguous")" 1 ;;
	*) is "$heap: is not contiguous" "$(cat "$dir/contiguous")" 0 ;;
	esac
	# Mode bits alone stop nobody but others than root; root must fail, too.
	! { echo 1 >"$dir/used"; } 2>/dev/null
	ok $? "$heap: not even root writes used"

	! { echo 2 >"$dir/keep_mappings"; } 2>/dev/null
	ok $? "$heap: keep_mappings takes no other numbers than 0 and 1"
	! as_nobody "echo 0 >$dir/keep_mappings" 2>/dev/null && [ "$(cat "$dir/keep_mappings")" = 1 ]
	ok $? "$heap: others than root cannot write keep_mappings"

	! { echo 2 >"$dir/map_at_mmap"; } 2>/dev/null
	ok $? "$heap: map_at_mmap takes nothing but 0 and 1"
	is "$heap: map_at_mmap is 1 where tasks must not wait" "$(cat "$dir/map_at_mmap")" "$(uname -v | grep -c PREEMPT_RT)"
	! as_nobody "echo 1 >$dir/map_at_mmap" 2>/dev/null
	ok $? "$heap: others than root cannot write it"

	limit=$(cat "$dir/limit")
	! as_nobody "echo 4096 >$dir/limit" 2>/dev/null && [ "$(cat "$dir/limit")" = "$limit" ]
	ok $? "$heap: others than root cannot write limit"
	! as_nobody "echo 4096 >$dir/user_limit" 2>/dev/null && [ "$(cat "$dir/user_limit")" -le "$limit" ]
	ok $? "$heap: nor user_limit"
	echo 1048576 >"$dir/limit"
	is "$heap: root writes limit" "$(cat "$dir/limit")" 1048576
	! dmaheap alloc "$heap" 2M --hold 1ms >/dev/null 2>&1
	ok $? "$heap: a buffer above the limit is refused"
	echo "$limit" >"$dir/limit"
	dmaheap alloc "$heap" 2M --hold 1ms >/dev/null 2>&1
	ok $? "$heap: with the old limit it is granted"

	hold "$heap" 64K
	is "$heap: used counts a living buffer" "$(cat "$dir/used")" 65536
	release $holder
	is "$heap: used falls when it dies" "$(cat "$dir/used")" 0
done
finish
