# SPDX-License-Identifier: GPL-2.0
#
# A board: every heap that its device tree gives it, with importers in software.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
# Four emulated processors share what the host has.
export DMAHEAP_PATIENCE=5

load_stock_importers
load_module
run_test verify 600 sh /lab/tests/verify.sh
insmod /lab/dma_buf_test_importer.ko
expect_overlaps 1
expect_vivid_segments
for heap in $(own_heaps); do
	run_test "kselftest-$heap" 600 dmaheap-kselftest "$heap"
done
rmmod dma_buf_test_importer
unload_module
