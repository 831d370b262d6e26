# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The module, built for the chosen kernel into $OUT/module. The source
# tree stays clean.

MODULE=rust_dma_heap
# For tests: plays a device that maps buffers.
IMPORTER=dma_buf_test_importer

module_build() {
	mkdir -p "$OUT/module"
	"${KERNEL}_make" -j"$JOBS" M="$SRC" MO="$OUT/module" RUST_DMA_HEAP_TESTS=1 modules
	# Debug information makes the module many times its size.
	"${CROSS}objcopy" --strip-debug "$OUT/module/$MODULE.ko" "$OUT/$MODULE.ko"
	"${CROSS}objcopy" --strip-debug "$OUT/module/$IMPORTER.ko" "$OUT/$IMPORTER.ko"
}
