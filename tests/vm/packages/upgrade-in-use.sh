# SPDX-License-Identifier: GPL-2.0
#
# What the package's postinst does after an upgrade, while a buffer lives and afterwards.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
report=$(echo /usr/src/rust-dma-heap-*/tools/machine/dkms-report)
evidence="$try_log /run/lab/alloc"
plan 9

udevadm settle
loaded || modprobe rust_dma_heap
heap=$(own_heaps | head -n 1)
hold "$heap" 1M
ok $? "somebody has a buffer"
before=$(dmesg | grep -c 'rust_dma_heap: /dev/dma_heap/.* is up')
try "$report" --anew
grep -q 'in use: the new version is loaded at the next boot' "$try_log"
ok $? "it is told that the old module stays"
is "which it does" "$(dmesg | grep -c 'rust_dma_heap: /dev/dma_heap/.* is up')" "$before"
is "with the buffer" "$(cat "$(heap_dir "$heap")/used")" 1048576
release "$holder"
used_up_to "$heap" 0
try "$report" --anew
at_least "then the new one takes its place" \
	"$(($(dmesg | grep -c 'rust_dma_heap: /dev/dma_heap/.* is up') - before))" 1
udevadm settle
dmaheap alloc linux,cma 64K --hold 1ms >"$try_log" 2>&1
ok $? "and allocates"
is "with the names" "$(leads_to linux,cma | sed 's/-pooled//')" default_cma_region
finish
