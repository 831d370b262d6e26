# SPDX-License-Identifier: GPL-2.0
#
# The hardware reports a fault in a page that a buffer has. No heap keeps that for another
# buffer. (The page allocator may hand it out again, if it was part of a large block.)

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
plan 19

# As the kernel's own tests say that the page at this physical address is broken.
breaks() { echo "$1" >/sys/devices/system/memory/hard_offline_page 2>/dev/null; }
broken() { awk '$1 == "HardwareCorrupted:" { print $2 }' /proc/meminfo; }

# address HEAP [STEP]: where in memory a buffer of 2 MiB begins, in one block. The importer
# plays a device whose DMA addresses are physical ones. All is done on one processor, for
# each NUMA node has a pool. In the end the buffer is gone.
address() {
	taskset 1 dmaheap importer --heap "$1" --size 2M attach map ranges ${2:+"$2"} |
		grep -m 1 -o '0x[0-9a-f]*'
	used_up_to "$1" 0
}

held() { cat "/sys/kernel/debug/$MODULE/$1/pool_held"; }

# break_page HEAP: a buffer has a page that breaks, and is given back. Sets $begin.
break_page() {
	before=$(broken)
	rm -f /run/lab/address
	address "$1" wait=5s >/run/lab/address &
	holder=$!
	for _ in $(seq 100); do
		[ ! -s /run/lab/address ] || break
		usleep 100000
	done
	begin=$(cat /run/lab/address)
	# Not the first page, which stands for all of a block.
	[ -z "$begin" ] || breaks "$(printf '%#x' $((begin + 0x3000)))"
	wait $holder
	ok $? "$1: a buffer has a page"
	is "$1: that breaks" "$(($(broken) - before))" 4
}

load_module carveout_mib=8
ok $? "carveout_mib=8 loads"
insmod /lab/dma_buf_test_importer.ko
ok $? "the importer module loads"

# Nothing shall go because it is idle, and what waits for the next buffer has come.
echo 600000 >"$(heap_dir system-pooled)/pool_trim_ms"
address system-pooled >/dev/null
sleep 2
kept=$(held system-pooled)
address system-pooled >/dev/null
sleep 2
is "system-pooled: a buffer's block is kept" "$(held system-pooled)" "$kept"
break_page system-pooled
sleep 2
is "system-pooled: its block is not kept" "$(($(held system-pooled) - kept))" -2097152

for heap in default_cma_region carveout; do
	is "$heap: a buffer is where the one before it was" "$(address $heap)" "$(address $heap)"
	break_page $heap
	again=$(address $heap)
	[ -n "$again" ] && [ "$again" != "$begin" ]
	status=$?
	ok $status "$heap: the next buffer is elsewhere"
	[ $status -eq 0 ] || diag "$begin, then $again"
done
logged "carveout lost 512 pages, in use or broken"
ok $? "the log says what the carveout has lost"
! dmaheap alloc carveout 8M --hold 0s >/dev/null 2>&1
ok $? "which is not there any more"

rmmod dma_buf_test_importer
ok $? "the importer module unloads"
unload_module
ok $? "the module unloads"
leaves_nothing "and leaves nothing"
finish
