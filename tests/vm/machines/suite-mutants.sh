# SPDX-License-Identifier: GPL-2.0
#
# Of what an ordinary boot tests (suite.sh), that which looks at buffers: the
# machine for most patches of tests/mutants.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
load_stock_importers
load_block_device
load_module
run_test importer-steps-system-pooled 300 sh /lab/tests/importer-steps.sh system-pooled
insmod /lab/dma_buf_test_importer.ko
run_test kselftest-default_cma_region 300 dmaheap-kselftest default_cma_region
run_test kselftest-system-pooled 300 dmaheap-kselftest system-pooled
rmmod dma_buf_test_importer
run_test attributes 60 sh /lab/tests/attributes.sh
run_test attributes-bad-input 60 sh /lab/tests/attributes-bad-input.sh
run_test unload-refused 60 sh /lab/tests/unload-refused.sh
