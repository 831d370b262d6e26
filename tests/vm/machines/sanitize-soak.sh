# SPDX-License-Identifier: GPL-2.0
#
# Processes that use the heaps and are killed at any point, while memory,
# processors and the module come and go, on the kernel with sanitizers.

# shellcheck source=tests/vm/lib/sanitized.sh
. /lab/lib/sanitized.sh
load_module
insmod /lab/dma_buf_test_importer.ko
run_test soak 240 dmaheap-torture soak --seconds=300 --module="/lab/$MODULE.ko" \
	--patience="$DMAHEAP_PATIENCE"
rmmod dma_buf_test_importer
sanitized_end
