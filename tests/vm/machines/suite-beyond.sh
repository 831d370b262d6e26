# SPDX-License-Identifier: GPL-2.0
#
# What is tested where most memory is out of reach for devices of 32 address bits: the
# contiguous area is not, and who only uses the CPU needs none.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
load_stock_importers
load_module
insmod /lab/dma_buf_test_importer.ko edu_mask_bits=32
expect_overlaps 1
expect_vivid_segments
run_test kselftest-default_cma_region 300 \
	dmaheap-kselftest --only=importer,mapping-cache,edu,graphics,camera default_cma_region
run_test kselftest-system-pooled 300 dmaheap-kselftest --only=importer,graphics system-pooled
rmmod dma_buf_test_importer
run_test pci-segments 60 sh /lab/tests/pci-segments.sh
unload_module
