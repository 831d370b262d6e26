# SPDX-License-Identifier: GPL-2.0
#
# The hardware reports a fault in a page that a buffer has, or that is kept for the next. No
# buffer gets it after that.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
[ -e /sys/devices/system/memory/hard_offline_page ] ||
	skip_all "no page can break (CONFIG_MEMORY_FAILURE): in suite-nodes some do"
plan 33

# As the kernel's own tests say that the page at this physical address is broken.
breaks() { echo "$1" >/sys/devices/system/memory/hard_offline_page 2>/dev/null; }
broken() { awk '$1 == "HardwareCorrupted:" { print $2 }' /proc/meminfo; }

# address HEAP [STEP...]: where in memory a buffer of 2 MiB begins, in one block. The importer
# plays a device whose DMA addresses are physical ones. All is done on one processor, for
# each NUMA node has a pool. In the end the buffer is gone.
address() {
	of=$1
	shift
	taskset 1 dmaheap-lab importer --heap "$of" --size 2M attach map ranges "$@" |
		awk '!n && match($0, /0x[0-9a-f]+/) { print substr($0, RSTART, RLENGTH); fflush(); n = 1 }'
	used_up_to "$of" "${used:-0}"
}

# page: of the block that begins there, the one that breaks: not the first, which stands for all.
page() { printf '%#x' $(($1 + 0x3000)); }

# debugger_reads PAGE: how many bytes of that page of the buffer that a process has mapped.
debugger_reads() {
	mapped=
	for pid in $(pidof dmaheap-lab); do
		mapped=$(sed -n '/dmabuf/ { s/-.*//p; q }' "/proc/$pid/maps")
		[ -z "$mapped" ] || break
	done
	[ -n "$mapped" ] || { echo 0 && return; }
	dd if="/proc/$pid/mem" bs=4096 skip=$((0x$mapped / 4096 + $1)) count=1 2>/dev/null | wc -c
}

# break_page HEAP: a buffer has a page that breaks, and is given back. Sets $begin.
break_page() {
	before=$(broken)
	rm -f /run/lab/address
	address "$1" cpu-read=0:4 wait=5s >/run/lab/address &
	holder=$!
	for _ in $(seq 100); do
		[ ! -s /run/lab/address ] || break
		usleep 100000
	done
	begin=$(cat /run/lab/address)
	# Until it is mapped.
	for _ in $(seq 100); do
		[ "$(debugger_reads 3)" -eq 0 ] || break
		usleep 100000
	done
	[ -z "$begin" ] || breaks "$(page "$begin")"
	is "$1: a debugger reads the page before it" "$(debugger_reads 2)" 4096
	is "$1: and is refused the broken one" "$(debugger_reads 3)" 0
	wait $holder
	ok $? "$1: a buffer has a page"
	is "$1: that breaks" "$(($(broken) - before))" 4
}

# has_page HEAP PAGE: has the next buffer of 2 MiB that page? Fails, too, if there is no buffer.
has_page() {
	taskset 1 dmaheap-lab importer --heap "$1" --size 2M --max-segment "$page_size" attach map ranges \
		>/run/lab/ranges 2>&1
	grep -q "$2 " /run/lab/ranges || ! grep -q 0x /run/lab/ranges
}
page_size=$(awk '/^KernelPageSize:/ { print $2 "K"; exit }' /proc/self/smaps)

load_module carveout_mib=8
ok $? "carveout_mib=8 loads"
insmod /lab/dma_buf_test_importer.ko
ok $? "the importer module loads"

# Nothing shall go because it is idle, and the contiguous heap keeps what it is told to beside a
# living buffer.
for heap in system-pooled default_cma_region; do
	echo 600000 >"$(heap_dir $heap)/pool_trim_ms"
done
echo 16777216 >"$(heap_dir default_cma_region)/pool_cap"
hold default_cma_region 4K
living=$holder
used=$(cat "$(heap_dir default_cma_region)/used")

for heap in system-pooled default_cma_region carveout; do
	address $heap >/dev/null
	is "$heap: a buffer is where the one before it was" "$(address $heap)" "$(address $heap)"
	break_page $heap
	! has_page $heap "$(page "$begin")"
	ok $? "$heap: the next buffer has not the page that broke in a buffer's hands"
done

for heap in system-pooled default_cma_region carveout; do
	before=$(broken)
	begin=$(address $heap)
	breaks "$(page "$begin")"
	is "$heap: a page breaks while it is kept" "$(($(broken) - before))" 4
	! has_page $heap "$(page "$begin")"
	ok $? "$heap: the next buffer does not get the broken page"
done

logged "512 pages are no longer used: the hardware reported a fault in one of them"
ok $? "the log says what is not used any more"
logged "carveout: a page with a hardware fault is not used any more"
ok $? "and what the carveout has lost"
! dmaheap alloc carveout 8M --hold 0s >/dev/null 2>&1
ok $? "which is not there any more"
dmaheap alloc carveout 4M --hold 0s >/dev/null 2>&1
ok $? "the rest is"

release $living
rmmod dma_buf_test_importer
ok $? "the importer module unloads"
unload_module
ok $? "the module unloads"
leaves_nothing "and leaves nothing"
finish
