# SPDX-License-Identifier: GPL-2.0
#
# The kernel's own C heaps, and ours beside them: what ours are measured by, and
# where they differ.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
load_stock_importers
load_block_device
load_c_heaps
load_module
run_test heap-names 30 sh /lab/tests/heap-names.sh system-pooled default_cma_region-pooled
insmod /lab/dma_buf_test_importer.ko
for heap in system default_cma_region; do
	run_test "kselftest-c-$heap" 300 dmaheap-kselftest "$heap"
done
rmmod dma_buf_test_importer
run_test shared-cma-area 180 sh /lab/tests/shared-cma-area.sh
run_test verify 300 sh /lab/tests/verify.sh
run_test verify-importer 300 sh /lab/tests/verify-importer.sh
run_test bench 300 sh /lab/tests/bench.sh
unload_module
