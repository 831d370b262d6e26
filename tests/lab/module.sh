# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The module, built for the chosen kernel into build/ARCH/module. The source
# tree stays clean.

MODULE=rust_dma_heap

module_make() {
	mkdir -p "$BUILD/$ARCH/module"
	kernel_make -j"$JOBS" M="$SRC" MO="$BUILD/$ARCH/module" "$@" modules
}

module_build() {
	module_make
	# Debug information makes the module many times its size.
	"${CROSS}objcopy" --strip-debug "$BUILD/$ARCH/module/$MODULE.ko" "$BUILD/$ARCH/$MODULE.ko"
}
