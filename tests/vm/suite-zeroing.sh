# SPDX-License-Identifier: GPL-2.0
#
# What is tested in a boot with init_on_alloc=0: there the kernel hands out
# memory as it was left, so that whatever the module does not zero shows.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
run_test not-zeroed 30 sh /lab/not-zeroed.sh
run_test idle 200 sh /lab/idle.sh
load_module
run_test suspend 300 sh /lab/suspend.sh
run_test verify 300 sh /lab/verify.sh
insmod /lab/dma_buf_test_importer.ko
run_test kselftest 300 dmaheap-kselftest --only=memory,zeroing,reuse,pool
rmmod dma_buf_test_importer
unload_module
