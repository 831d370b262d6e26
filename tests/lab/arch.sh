# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0
#
# What differs from architecture to architecture, and from kernel to kernel.

# The compiler of this root's suite that builds kernels.
case $SUITE in
sid) GCC=gcc-16 ;;
*) GCC=gcc-14 ;;
esac

# arch_select ARCH: sets the variables below for amd64, arm64 or armhf, with the
# kernel flavour that is the ordinary one there.
arch_select() {
	ARCH=$1
	# What is shown, and names files and results.
	LABEL=$ARCH
	FLAVOUR=$ARCH
	# Of the supported series: the newest that there is.
	SERIES=newest
	PROGRAMS=$BUILD/$ARCH
	[ "$SUITE" = trixie ] || PROGRAMS=$BUILD/$SUITE-$ARCH
	MEMORY=1G
	LISTS_DIR=/var/lib/apt/lists
	unset APT_CONFIG
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
	armhf)
		KARCH=arm
		CROSS=arm-linux-gnueabihf-
		RUST_TARGET=armv7-unknown-linux-gnueabihf
		QEMU=qemu-system-arm
		MACHINE=(-machine virt -cpu cortex-a15)
		CONSOLE=ttyAMA0
		APPEND=
		FLAVOUR=armmp-lpae
		# More than the kernel can address at all times, so that there is high memory.
		MEMORY=2G
		armhf_apt
		;;
	*) die "no such architecture: $ARCH" "The lab knows ARCH=amd64, ARCH=arm64 and ARCH=armhf." ;;
	esac
}

# kernel_select NAME: one of the file "kernels".
kernel_select() {
	local line
	read -ra line < <(matrix_lines "$1")
	arch_select "${line[2]}"
	LABEL=$1
	FLAVOUR=${line[3]}
	SERIES=${line[4]}
	# The usual one has no pages of 16 KiB.
	[ "$FLAVOUR" != arm64-16k ] || MACHINE+=(-cpu cortex-a76)
	OUT=$BUILD/kernels/$LABEL
}

# sanitizer_select: amd64 with the kernel of sanitizer-build.sh; its functions are
# sanitizer_make and so on.
sanitizer_select() {
	arch_select amd64
	KERNEL=sanitizer
	OUT=$BUILD/sanitizer
}
