# SPDX-License-Identifier: GPL-2.0
#
# A contiguous area that is full of other programs' memory: what both CMA heaps get of it.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
load_c_heaps
load_module
run_test kselftest-default_cma_region-pooled 600 \
	dmaheap-kselftest --only=contended-area default_cma_region-pooled
unload_module
