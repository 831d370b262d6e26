# SPDX-License-Identifier: GPL-2.0
#
# What is tested in a boot with swiotlb=force: every device gets a bounce buffer,
# so that a sync that is missing shows although the machine is coherent.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
load_module
# shellcheck disable=SC2046 # names, one a word
run_test verify-importer 300 sh /lab/tests/verify-importer.sh $(own_heaps)
insmod /lab/dma_buf_test_importer.ko
run_test kselftest 300 dmaheap-kselftest --only=remapping,zeroing,importer
run_test coherence 600 dmaheap-kselftest --only=coherence --sequences=10000
rmmod dma_buf_test_importer
run_test bounce-buffers 30 sh /lab/tests/bounce-buffers.sh
unload_module
