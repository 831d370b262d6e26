# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0
#
# What differs from architecture to architecture, and from kernel to kernel.

# arch_select ARCH: sets the variables below for amd64 or arm64.
arch_select() {
	ARCH=$1
	# The kernel is the stock one; its functions are kernel_make and so on.
	KERNEL=kernel
	OUT=$BUILD/$ARCH
	case $ARCH in
	amd64)
		KARCH=x86
		CROSS=x86_64-linux-gnu-
		RUST_TARGET=x86_64-unknown-linux-gnu
		QEMU=qemu-system-x86_64
		# Without a fast-string CPUID bit the guest zeroes in a loop; with it,
		# TCG runs `rep stosb` one byte at a time, seven times as slow.
		MACHINE=(-machine q35 -cpu "max,-erms,-fsrm")
		CONSOLE=ttyS0
		# The stock amd64 kernel reserves no CMA area of its own accord.
		APPEND=cma=64M
		;;
	arm64)
		KARCH=arm64
		CROSS=aarch64-linux-gnu-
		RUST_TARGET=aarch64-unknown-linux-gnu
		QEMU=qemu-system-aarch64
		MACHINE=(-machine "virt,gic-version=3" -cpu cortex-a72)
		CONSOLE=ttyAMA0
		APPEND=
		;;
	*) die "no such architecture: $ARCH" "The lab knows ARCH=amd64 and ARCH=arm64." ;;
	esac
}

# sanitizer_select: amd64 with the kernel of sanitizer-build.sh; its functions are
# sanitizer_make and so on.
sanitizer_select() {
	arch_select amd64
	KERNEL=sanitizer
	OUT=$BUILD/sanitizer
}
