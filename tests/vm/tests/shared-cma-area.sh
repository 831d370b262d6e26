# SPDX-License-Identifier: GPL-2.0
#
# The kernel's own CMA heap stands for any other user of the contiguous area: it
# cannot ask for what ours keeps warm, and must not go short because of it.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
[ -e /dev/dma_heap/default_cma_region-pooled ] ||
	skip_all "the kernel has no CMA heap of its own: suite-c-heaps has it"
plan 8

ours=default_cma_region-pooled
theirs=default_cma_region
dir=$(heap_dir "$ours")
trim_ms=3000
area=$(awk '/^CmaTotal:/ { print int($2 / 1024) }' /proc/meminfo)
half=$((area / 2))
# More than it keeps by itself, and beside a living buffer: without one it keeps nothing.
cap=16777216
hold $ours 4K
ok $? "ours has a living buffer"
living=$holder

# take HEAP MIB
take() { dmaheap alloc "$1" "$2M" --hold 1ms >/dev/null 2>&1; }
now_ms() { awk '{ printf "%d\n", $1 * 1000 }' /proc/uptime; }

# wait_for MIB: sets time to how many milliseconds it takes until the other user has
# what it wants.
wait_for() {
	start=$(now_ms)
	until take $theirs "$1" || [ $(($(now_ms) - start)) -gt 30000 ]; do :; done
	time=$(($(now_ms) - start))
}

# What the other user can have at all. The pages in its way take a moment to
# move, so not every try is as good.
echo 0 >"$dir/pool_cap"
most=$area
while [ "$most" -gt 0 ] && ! { take $theirs "$most" && take $theirs "$most"; }; do
	most=$((most - 4))
done
at_least "another user can have most of the area" "$most" $((area * 3 / 4))
echo "$trim_ms" >"$dir/pool_trim_ms"

# The worst places: what ours keeps lies behind that half, and where it began. There
# the area has no half in one piece any more. Pages that do not move at once can make
# it come out otherwise.
for _ in $(seq 10); do
	echo 0 >"$dir/pool_cap"
	echo "$cap" >"$dir/pool_cap"
	hold $theirs "${half}M" && take $ours 8
	release $holder
	take $ours 4
	! take $theirs $half && in_the_way=yes && break
	in_the_way=no
done
is "ours can keep its buffers in the worst places" "$in_the_way" yes

# Its turns while ours goes on allocating and freeing: what is used again and again
# shall not stay where it is for ever.
: >/run/lab/cycling
while [ -e /run/lab/cycling ]; do
	take $ours 8
	take $ours 4
done &
cycling=$!
longest=0
# What is in use for a part of the time is kept for longer.
bound=$((2 * trim_ms + 1500))
for _ in $(seq 8); do
	[ "$longest" -le "$bound" ] || break
	wait_for $half
	echo "$time ms until half of the area was there" >>/run/lab/times
	[ "$time" -le "$longest" ] || longest=$time
done
rm /run/lab/cycling
wait $cycling
at_least "while ours cycles buffers, half of the area is soon there for others" \
	"$bound" "$longest"
[ "$longest" -le "$bound" ] || diag "$(cat /run/lab/times)"

for size in 8 6 2; do
	take $ours "$size"
done
held=$(cat "$dir/pool_held")
at_least "ours keeps buffers warm" "$held" $((8 << 20))
! take $theirs "$most"
ok $? "they are in the other user's way"
wait_for "$most"
# A try takes its time as well.
at_least "within pool_trim_ms the other user has what it wants" $((trim_ms + 1500)) "$time"
diag "after $time ms; pool_trim_ms is $trim_ms; $held bytes were kept"

# Nobody waits for what is kept when the last buffer goes.
for size in 8 6 2; do
	take $ours "$size"
done
release "$living"
used_up_to $ours 0
is "nothing is kept without a living buffer" "$(cat "$dir/pool_held")" 0
finish
