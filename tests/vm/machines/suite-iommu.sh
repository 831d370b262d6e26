# SPDX-License-Identifier: GPL-2.0
#
# What is tested behind an IOMMU only: a device of so few address bits that the
# IOMMU's addresses run out.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
load_module carveout_mib=16
insmod /lab/dma_buf_test_importer.ko edu_mask_bits=28
for heap in $(own_heaps | grep -v carveout); do
	expect_faults_of_edu
	run_test "kselftest-28-bits-$heap" 300 dmaheap-kselftest --only=mapping-cache,edu,unbinding,map-failure "$heap"
done
expect_faults_of_edu
run_test kselftest-28-bits-carveout 300 dmaheap-kselftest --only=edu,held-pages carveout
rmmod dma_buf_test_importer
unload_module
