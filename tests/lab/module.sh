# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The module, built for the chosen kernel into build/ARCH/module. The source
# tree stays clean.

MODULE=rust_dma_heap
# For tests: plays a device that maps buffers.
IMPORTER=dma_buf_test_importer

module_build() {
	mkdir -p "$BUILD/$ARCH/module"
	kernel_make -j"$JOBS" M="$SRC" MO="$BUILD/$ARCH/module" RUST_DMA_HEAP_TESTS=1 modules
	# Debug information makes the module many times its size.
	"${CROSS}objcopy" --strip-debug "$BUILD/$ARCH/module/$MODULE.ko" "$BUILD/$ARCH/$MODULE.ko"
	"${CROSS}objcopy" --strip-debug "$BUILD/$ARCH/module/$IMPORTER.ko" "$BUILD/$ARCH/$IMPORTER.ko"
}
