# SPDX-License-Identifier: GPL-2.0
#
# Somebody who tries to get back a byte of what was written, on the kernel with
# sanitizers, which does not zero memory of its own accord.

# shellcheck source=tests/vm/lib/sanitized.sh
. /lab/lib/sanitized.sh
load_module
insmod /lab/dma_buf_test_importer.ko
run_test adversary 240 dmaheap-torture adversary --gib=20 --seconds=1100
rmmod dma_buf_test_importer
sanitized_end
