# SPDX-License-Identifier: GPL-2.0
#
# Of what an ordinary boot tests (suite.sh), that which looks at buffers: the
# machine for most patches of tests/mutants.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
load_stock_importers
load_module
run_test steps-system-pooled 300 sh /lab/steps.sh system-pooled
insmod /lab/dma_buf_test_importer.ko
run_test kselftest-default_cma_region 300 dmaheap-kselftest default_cma_region
run_test kselftest-system-pooled 300 dmaheap-kselftest system-pooled
rmmod dma_buf_test_importer
run_test sysfs 60 sh /lab/sysfs.sh
run_test knobs 60 sh /lab/knobs.sh
run_test busy 60 sh /lab/busy.sh
