# SPDX-License-Identifier: GPL-2.0
#
# What is tested in a boot with init_on_alloc=0: there the kernel hands out
# memory as it was left, so that whatever the module does not zero shows.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
run_test no-init-on-alloc 30 sh /lab/tests/no-init-on-alloc.sh
run_test idle-threads 200 sh /lab/tests/idle-threads.sh
load_module
run_test suspend 300 sh /lab/tests/suspend.sh
run_test verify 300 sh /lab/tests/verify.sh
insmod /lab/dma_buf_test_importer.ko
run_test kselftest 300 dmaheap-kselftest --only=memory,zeroing,dirty-tracking,pool
rmmod dma_buf_test_importer
unload_module
