# SPDX-License-Identifier: GPL-2.0
#
# Everything that a process may do to the heaps, in any order, on the kernel with
# sanitizers.

# shellcheck source=tests/vm/lib/sanitized.sh
. /lab/lib/sanitized.sh
load_module
insmod /lab/dma_buf_test_importer.ko
expect_overlaps any
run_test fuzz 240 dmaheap-torture fuzz --operations=1000000 --seconds=1000 \
	--patience="$DMAHEAP_PATIENCE"
rmmod dma_buf_test_importer
sanitized_end
