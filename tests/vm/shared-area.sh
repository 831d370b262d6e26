# SPDX-License-Identifier: GPL-2.0
#
# The kernel's own CMA heap stands for any other user of the contiguous area: it
# cannot ask for what ours keeps warm, and must not go short because of it.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
plan 5

ours=default_cma_region-pooled
theirs=default_cma_region
dir=$(heap_dir "$ours")
trim_ms=3000
area=$(awk '/^CmaTotal:/ { print int($2 / 1024) }' /proc/meminfo)
cap=$(cat "$dir/pool_cap")

# take HEAP MIB
take() { dmaheap alloc "$1" "$2M" --hold 1ms >/dev/null 2>&1; }
now_ms() { awk '{ printf "%d\n", $1 * 1000 }' /proc/uptime; }

# What the other user can have at all. The pages in its way take a moment to
# move, so not every try is as good.
echo 0 >"$dir/pool_cap"
most=$area
while [ "$most" -gt 0 ] && ! { take $theirs "$most" && take $theirs "$most"; }; do
	most=$((most - 4))
done
echo "$cap" >"$dir/pool_cap"
at_least "another user can have most of the area" "$most" $((area * 3 / 4))

# Its turns while ours goes on allocating and freeing.
: >/run/lab/cycling
while [ -e /run/lab/cycling ]; do
	take $ours 8
	take $ours 4
done &
cycling=$!
got=0
for _ in $(seq 8); do
	! take $theirs $((area / 2)) || got=$((got + 1))
done
rm /run/lab/cycling
wait $cycling
is "while ours cycles buffers, half of the area is there for others" "$got" 8

echo "$trim_ms" >"$dir/pool_trim_ms"
for size in 8 6 2; do
	take $ours "$size"
done
start=$(now_ms)
held=$(cat "$dir/pool_held")
at_least "ours keeps buffers warm" "$held" $((8 << 20))
! take $theirs "$most"
ok $? "they are in the other user's way"
until take $theirs "$most" || [ $(($(now_ms) - start)) -gt 30000 ]; do :; done
time=$(($(now_ms) - start))
# A try takes its time as well.
at_least "within pool_trim_ms the other user has what it wants" $((trim_ms + 1500)) "$time"
diag "after $time ms; pool_trim_ms is $trim_ms; $held bytes were kept"
finish
