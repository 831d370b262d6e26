# SPDX-License-Identifier: GPL-2.0
#
# Of what is tested on the kernel with sanitizers, that which reaches every op:
# the machine for those patches of tests/mutants that only a sanitizer sees.

# shellcheck source=tests/vm/lib/sanitized.sh
. /lab/lib/sanitized.sh
load_module
insmod /lab/dma_buf_test_importer.ko
expect_overlaps 1
run_test kselftest-system-pooled 300 dmaheap-kselftest --only=mmap,dirty-tracking,importer,mapping-cache system-pooled
sanitized_end
