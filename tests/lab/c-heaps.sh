# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The kernel's own C heaps as modules, out of the source that the build folder
# belongs to: what ours are compared with. tests/c-heaps says which of them a
# kernel needs.

# The modules of $ARCH that there are, in the order in which they load.
c_heaps() {
	local name
	for name in dma-heap system_heap cma_heap; do
		if [ -e "$BUILD/$ARCH/$name.ko" ]; then
			say "$BUILD/$ARCH/$name.ko"
		fi
	done
}

# Builds them into build/ARCH.
c_heaps_build() {
	local dir=$BUILD/$ARCH/c-heaps module
	mkdir -p "$dir"
	# What another kernel needed, this one may have built in.
	rm -f "$dir"/*.ko "$BUILD/$ARCH"/{dma-heap,system_heap,cma_heap}.ko
	kernel_make -j"$JOBS" M="$SRC/tests/c-heaps" MO="$dir" modules
	for module in "$dir"/*.ko; do
		"${CROSS}objcopy" --strip-debug "$module" "$BUILD/$ARCH/$(basename "$module")"
	done
}
