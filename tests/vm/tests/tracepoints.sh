# SPDX-License-Identifier: GPL-2.0
#
# The tracepoints that include/rust_dma_heap_trace.h has, as perf, bpftrace and Perfetto find
# them; and the sum of all pools, as Android's tools read it.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
tracing=/sys/kernel/tracing
events=$tracing/events/dmabuf_heap
size=$((8 << 20))
mount -t tracefs tracefs $tracing 2>/dev/null
set -- $(own_heaps)
[ -d $events ] || skip_all "the kernel has no tracepoints for modules (CONFIG_EVENT_TRACING)"
plan $((4 + 8 * $#))

is "the sum of all pools is a number" "$(tr -d 0-9 </sys/kernel/dma_heap/total_pools_kb)" ""

# sum: what the heaps say themselves, in KiB.
sum() {
	sum=0
	for heap in $(own_heaps); do
		sum=$((sum + $(cat "$(heap_dir "$heap")/pool_held") / 1024))
	done
	echo $sum
}

# used_by_all: bytes that all buffers take.
used_by_all() {
	sum=0
	for heap in $(own_heaps); do
		sum=$((sum + $(cat "$(heap_dir "$heap")/used")))
	done
	echo $sum
}

is "the events" "$(find $events -mindepth 1 -maxdepth 1 -type d -name "dma_heap_*" | sed "s|.*/||" | sort | xargs)" \
	"dma_heap_alloc dma_heap_pool_hit dma_heap_pool_miss dma_heap_pool_reclaim dma_heap_pool_trim dma_heap_pool_zero dma_heap_release dma_heap_stat"
# Perfetto goes by names and types.
is "dma_heap_stat has Android's fields" \
	"$(sed -n 's/^\tfield:\(.*\);\toffset.*/\1/p' $events/dma_heap_stat/format | grep -v common_ | xargs | tr ' ' _)" \
	"unsigned_long_inode_long_len_unsigned_long_total_allocated"

# told EVENT [WORDS]: lines of that event of the heap with those words in them.
told() { grep " $1: " $tracing/trace | grep -c "${2:-}"; }

# traced COMMAND...: what it does is in the trace afterwards.
traced() {
	echo >$tracing/trace
	echo 1 >$events/enable
	"$@" >/run/lab/traced 2>&1
	echo 0 >$events/enable
}

# eventually EVENT WORDS COMMAND...: until the event was told of, at most 10 s.
eventually() {
	local event=$1 words=$2
	shift 2
	for _ in $(seq 100); do
		"$@"
		[ "$(told "$event" "$words")" -eq 0 ] || return 0
		tenth
	done
	return 1
}

evidence=/run/lab/trace
for heap; do
	dir=$(heap_dir "$heap")
	trim=$(cat "$dir/pool_trim_ms")
	keeps=$([ "$(cat "$dir/contiguous")" = 1 ] && echo no || echo yes)
	echo 600000 >"$dir/pool_trim_ms"
	# Nothing is kept from before; a contiguous heap keeps beside a living buffer only.
	cap=$(cat "$dir/pool_cap")
	echo 0 >"$dir/pool_cap"
	echo $((64 << 20)) >"$dir/pool_cap"
	[ "$keeps" = yes ] || hold "$heap" 4K
	others=$(used_by_all)

	traced dmaheap alloc "$heap" $size --hold 1ms
	cp $tracing/trace /run/lab/trace
	inode=$(sed -n 's/.*inode=\([0-9]*\) .*/\1/p' /run/lab/traced)
	is "$heap: a buffer comes" \
		"$(told dma_heap_stat "inode=$inode len=$size total_allocated=$((size + others))\$") $(told dma_heap_alloc "heap=$heap inode=$inode len=$size blocks=[1-9]")" "1 1"
	is "$heap: and goes" \
		"$(told dma_heap_stat "inode=$inode len=-$size total_allocated=$others\$") $(told dma_heap_release "heap=$heap inode=$inode len=$size")" "1 1"
	at_least "$heap: its memory is new" "$(told dma_heap_pool_miss "heap=$heap bytes=[1-9]")" 1
	at_least "$heap: what the pools keep is in the sum" "$(cat /sys/kernel/dma_heap/total_pools_kb)" $((size / 1024))
	# They change by themselves, between one look and the next.
	for _ in $(seq 100); do
		kept=$(cat /sys/kernel/dma_heap/total_pools_kb)
		theirs=$(sum)
		[ "$kept" != "$theirs" ] || break
		tenth
	done
	is "$heap: which is theirs" "$kept" "$theirs"

	traced dmaheap alloc "$heap" $size --hold 1ms
	cp $tracing/trace /run/lab/trace
	at_least "$heap: then it is from the pool" "$(told dma_heap_pool_hit "heap=$heap bytes=[1-9]")" 1

	echo >$tracing/trace
	echo 1 >$events/enable
	dmaheap verify "$heap" --sizes $size >/run/lab/verify
	eventually dma_heap_pool_zero "heap=$heap bytes=[1-9]" true
	ok $? "$heap: what was written is zeroed" $tracing/trace

	echo 20 >"$dir/pool_trim_ms"
	dmaheap alloc "$heap" $size --hold 1ms >/dev/null
	eventually dma_heap_pool_trim "heap=$heap bytes=[1-9]" true
	ok $? "$heap: what is idle goes" $tracing/trace
	echo 0 >$events/enable

	[ "$keeps" = yes ] || release "$holder"
	echo "$trim" >"$dir/pool_trim_ms"
	echo "$cap" >"$dir/pool_cap"
done

echo 1 >$events/enable
reclaimed() {
	dmaheap alloc "$1" $size --hold 1ms >/dev/null
	echo 2 >/proc/sys/vm/drop_caches
}
system=$(own_heaps | grep '^system')
cap=$(cat "$(heap_dir "$system")/pool_cap")
echo $((64 << 20)) >"$(heap_dir "$system")/pool_cap"
eventually dma_heap_pool_reclaim "heap=$system bytes=[1-9]" reclaimed "$system"
ok $? "the shrinker takes memory back" $tracing/trace
echo 0 >$events/enable
echo "$cap" >"$(heap_dir "$system")/pool_cap"
finish
