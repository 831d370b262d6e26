# SPDX-License-Identifier: GPL-2.0
#
# What dmaheap tells people of a machine at work: who holds what, what heaps have done, which
# heap is for which device. (The kselftest's topic holders is about buffers that hide.)

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
set -- $(own_heaps)
plan $((9 + 7 * $#))
said=/run/lab/said

for heap; do
	dmaheap alloc "$heap" 3M --name leak --count 2 --hold 600s >/run/lab/alloc 2>&1 &
	holder=$!
	for _ in $(seq 300); do
		[ "$(grep -c inode= /run/lab/alloc)" -lt 2 ] || break
		tenth
	done
	dmaheap holders "$holder" --csv >$said
	is "$heap: a leak is found by its process" "$(grep -c "^$holder,dmaheap,[0-9]*,3145728,1,,1,$heap,leak" $said)" 2
	dmaheap holders leak --by buffer >$said
	is "$heap: and by its name, with its process" "$(grep -c "$heap  *leak .*$holder dmaheap (1 fd)" $said)" 2
	dmaheap holders "$heap" --json >$said
	is "$heap: and by its heap" "$(grep -c "\"name\": \"leak\"" $said)" 2
	dmaheap top --once --delay 100ms >$said
	grep -qE "^$heap +[0-9.]+ MiB +[0-9.]+ [MG]iB" $said && grep -qE " $holder dmaheap +2 +6 MiB .* $heap" $said
	ok $? "$heap: top has the heap and the process" $said
	dmaheap stats "$heap" >$said
	grep -qE "^$heap +used +[0-9.]+ MiB" $said && grep -qE "^$heap +allocations +[1-9]" $said
	ok $? "$heap: stats has attributes and counters" $said
	dmaheap stats "$heap" --prometheus >$said
	is "$heap: for Prometheus, too" "$(grep -c "^dma_heap_used_bytes{heap=\"$heap\"} [1-9]" $said)" 1
	release "$holder"

	before=$(cat "$(heap_dir "$heap")/user_limit")
	dmaheap set "$heap" user_limit=1.5M --save >$said 2>&1
	saved=$(cat /etc/rust-dma-heap/settings.saved 2>&1)
	is "$heap: set writes and saves" "$(cat "$(heap_dir "$heap")/user_limit") $saved" "1572864 ${heap%-pooled} user_limit=1.5M"
	echo "$before" >"$(heap_dir "$heap")/user_limit"
	rm -f /etc/rust-dma-heap/settings.saved
done

dmaheap holders nobody >$said 2>&1
is "who has nothing is status 1" $? 1
as_nobody "dmaheap holders" >$said 2>&1
grep -q 'as root you see' $said
ok $? "who is not root is told so" $said
as_nobody "dmaheap stats" >$said 2>&1
grep -q 'run as root' $said && grep -q 'used ' $said
ok $? "and sees the attributes" $said

# A device that the module has seen, and one that it has not, if there are any.
card=/dev/dri/card0
if [ -e $card ]; then
	dmaheap which $card >$said 2>&1
	grep -qE "^$card .* (none|DMA|DMA-FQ|identity) " $said
	ok $? "which knows a card" $said
	grep -qE '^default_cma_region.* (yes|perhaps)' $said
	ok $? "and the heaps for it" $said
else
	skip "which knows a card" "no graphics card that the kernel has a driver for"
	skip "and the heaps for it" "no graphics card that the kernel has a driver for"
fi
# This machine has no headers, no DKMS and no installed module; what it has is said all the same.
dmaheap doctor >$said 2>&1
[ $? -le 1 ] && grep -q 'module' $said
ok $? "doctor looks at the machine" $said
dmaheap doctor --json >$said 2>&1
grep -q '"findings"' $said
ok $? "in JSON, too" $said
dmaheap report --output /run/lab/report.md >$said 2>/dev/null
cmp -s $said /run/lab/report.md && grep -q "^loaded" $said && grep -q "is up" $said
ok $? "a report has the module and its log" $said
dmaheap which /dev/nothing >$said 2>&1
is "what is no device is status 1" $? 1
finish
