# SPDX-License-Identifier: GPL-2.0
#
# The heaps of a kernel that has this tree in its source, built in: they are there
# from the beginning, and parameters are on the kernel's command line.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
heaps="system-pooled default_cma_region carveout"

begin_log
load_stock_importers
# shellcheck disable=SC2086 # names, one a word
run_test heap-names 300 sh /lab/tests/heap-names.sh $heaps
run_test verify 300 sh /lab/tests/verify.sh
insmod /lab/dma_buf_test_importer.ko
expect_vivid_segments
for heap in $heaps; do
	run_test "kselftest-$heap" 300 dmaheap-kselftest "$heap"
done
run_test selftest 300 dmabuf-heap
