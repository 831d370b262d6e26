# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# From packages to a machine that can be booted, for $ARCH. What is in the cache
# already is not made again; the module and the programs always are, by their
# own build systems.

# Picks the kernel of $ARCH. Everything after it goes by the variables it sets.
prepare_choose() {
	kernel_resolve
	say "  kernel $K_RELEASE (Debian package $K_PACKAGE)"
	kernel_report_newer
}

prepare_kernel() {
	if kernel_ready; then
		kernel_prune
		return
	fi
	step "fetch the kernel's source" source-fetch source_fetch
	step "fetch kernel and headers for $LABEL" "kernel-fetch-$LABEL" kernel_fetch
	step "make the kernel's Rust artefacts for $LABEL" "kernel-build-$LABEL" kernel_build
	kernel_prune
}

prepare_module() {
	step "build the module for $LABEL" "module-$LABEL" module_build
}

prepare_c_heaps() {
	step "build the kernel's C heaps for $ARCH" "c-heaps-$ARCH" c_heaps_build
}

# What only tests need of the stock kernel: its own importers, and the selftest.
prepare_stock_tests() {
	step "fetch drivers of the stock kernel for $LABEL" "stock-modules-$LABEL" stock_modules_fetch
	step "build the kernel's selftest for $LABEL" "selftest-$LABEL" \
		selftest_build "${CROSS}$GCC" "$OUT/$SELFTEST"
}

prepare_tools() {
	step "fetch crates" crates-fetch crates_fetch
	step "build the programs for $ARCH" "tools-$ARCH" tools_build
}

# prepare_initramfs [FILE...]: FILEs beside the usual content.
prepare_initramfs() {
	initramfs_build "$OUT/initramfs.cpio" "$(kernel_dir)/package/usr/bin/busybox" \
		"$OUT"/{"$MODULE","$IMPORTER"}.ko "$PROGRAMS"/{dmaheap,dmaheap-kselftest} "$@"
}

# prepare ARCH: all of it, for the commands that need one machine.
prepare() {
	arch_select "$1"
	lists_refresh
	prepare_choose
	# One processor is enough for much of either.
	(
		prepare_kernel
		prepare_module
	) &
	(prepare_tools) &
	wait_all 2
	prepare_initramfs
}

lab_prepare() { prepare "${1:-amd64}"; }
