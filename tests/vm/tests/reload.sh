# SPDX-License-Identifier: GPL-2.0
#
# 100 times in and out, every tenth time with memory kept warm: no memory is lost
# and nothing is left.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
plan 6

page_size=$(awk '/^KernelPageSize:/ { print $2; exit }' /proc/self/smaps)

# Waits until nothing is in flight that will be given back anyway.
settle() {
	for _ in 1 2 3; do
		sync
		echo 3 >/proc/sys/vm/drop_caches
		sleep 1
	done
}
# Free memory in KiB. Pages on the processors' own free lists are free, too, and
# MemFree alone moves by MiBs as they come and go there.
free_memory() {
	on_lists=$(awk '$1 == "count:" { sum += $2 } END { print sum + 0 }' /proc/zoneinfo)
	echo $(($(meminfo MemFree) + on_lists * page_size))
}
meminfo() { awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo; }

# Has each heap keep something that does so without buffers: contiguous ones do not.
fill_pools() {
	for heap in $(own_heaps); do
		dir=$(heap_dir "$heap")
		[ "$(cat "$dir/contiguous")" = 0 ] || continue
		echo 600000 >"$dir/pool_trim_ms"
		dmaheap alloc "$heap" 8M --hold 1ms >/dev/null 2>&1
		[ "$(cat "$dir/pool_held")" -gt 0 ] || [ "$(cat "$dir/pool_cap")" = 0 ] || return 1
	done
}

# A node of somebody's own, as in a container, outlives the module. The kernel notes to
# what it led, and may forget that late.
left=/run/lab/left
make_left() {
	rm -f $left
	numbers=$(stat -c '%t %T' "/dev/dma_heap/$(own_heaps | head -n 1)")
	mknod $left c $((0x${numbers% *})) $((0x${numbers#* })) && (: <$left)
}

reclaimable=$(meminfo KReclaimable)
cycles=0
led_on=0
for n in $(seq 100); do
	load_module || break
	[ $((n % 10)) -ne 0 ] || fill_pools || break
	make_left || break
	unload_module || break
	! (: <$left) 2>/dev/null || led_on=$((led_on + 1))
	cycles=$n
	if [ "$n" -eq 20 ]; then
		settle
		free=$(free_memory)
		slab=$(meminfo Slab)
	fi
done
is "100 times loaded and unloaded" "$cycles" 100
is "a node that is left leads nowhere then" "$led_on" 0
rm -f $left
# What others took for a moment comes back; what is lost does not, however long this
# waits.
for _ in $(seq 20); do
	settle
	lost=$((${free:-0} - $(free_memory)))
	grown=$(($(meminfo Slab) - ${slab:-0}))
	[ "$lost" -gt 1023 ] || [ "$grown" -gt 255 ] || break
done
echo "from cycle 20 to $cycles: free memory fell by $lost KiB, Slab grew by $grown KiB" >/run/lab/growth
evidence=/run/lab/growth
if [ -e /sys/kernel/debug/kmemleak ]; then
	why="KASAN holds freed memory back; kmemleak counts"
	skip "free memory falls by less than 1024 KiB" "$why"
	skip "Slab grows by less than 256 KiB" "$why"
else
	at_least "free memory falls by less than 1024 KiB" 1023 "$lost"
	at_least "Slab grows by less than 256 KiB" 255 "$grown"
fi
# Ten times a buffer of each heap was kept.
at_least "nothing that was kept counts as reclaimable" $((reclaimable + 16384)) "$(meminfo KReclaimable)"
leaves_nothing "nothing is left"
finish
