# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# A kernel's build folder with the Rust artefacts that Debian's headers package
# lacks. They are made from the same source, configuration and compilers as the
# stock kernel, so the symbol names that rustc derives are the same, too.
#
# A change to this file makes every build folder anew.

# The options by which the build folder may differ from the stock kernel: the
# version of a tool, and the 32-bit vDSO of arm64, which needs one more compiler
# and which no module can see.
HARMLESS='CONFIG_(PAHOLE_VERSION|COMPAT_VDSO|THUMB2_COMPAT_VDSO)='

# kernel_make TARGET...: make in the build folder of the chosen kernel.
kernel_make() {
	local cc
	# The stock kernel's compiler, for instance x86_64-linux-gnu-gcc-14.
	cc=$(sed -nE 's/^CONFIG_CC_VERSION_TEXT="([^ "]*gcc-[0-9]+) .*/\1/p' "$(kernel_dir)/config")
	[ -n "$cc" ] || die "the configuration of $K_RELEASE does not say which gcc built it."
	command -v "$cc" >/dev/null || die "$K_RELEASE was built with $cc, which the root lacks." \
		"Add its package to tests/lab/packages."
	make -C "$(kernel_dir)/o" ARCH="$KARCH" CROSS_COMPILE="$CROSS" CC="$cc" \
		LOCALVERSION="${K_RELEASE#"$K_BASE"}" "$@"
}

kernel_build() {
	local dir headers release
	dir=$(kernel_dir)
	[ ! -e "$dir/done" ] || return 0
	headers=$dir/package/usr/src/linux-headers-$K_RELEASE
	# Kbuild goes on where an interrupted build has stopped.
	mkdir -p "$dir/o"
	cp "$headers/.config" "$dir/config"
	grep -q '^CONFIG_RUST=y' "$dir/config" || die "the stock kernel $K_RELEASE is built without CONFIG_RUST."
	cp "$headers/.config" "$headers/Module.symvers" "$dir/o/"
	make -C "$(source_dir)" O="$dir/o" ARCH="$KARCH" outputmakefile
	kernel_make olddefconfig
	config_compare "$dir/config" "$dir/o/.config"
	# Rust's procedural macros run once: to optimize them takes longer.
	kernel_make -j"$JOBS" HOSTRUSTFLAGS=-Copt-level=0 prepare modules_prepare
	release=$(kernel_make -s kernelrelease)
	[ "$release" = "$K_RELEASE" ] || die "the build folder calls itself $release instead of $K_RELEASE."
	say "$ARCH $K_RELEASE $K_PACKAGE" >"$dir/done"
}

# Structures that a module shares with the kernel depend on these options, so a
# difference would show only as memory corruption.
config_compare() {
	local difference
	difference=$(diff <(grep -v '^#' "$1") <(grep -v '^#' "$2") | grep '^[<>]' | grep -Ev "$HARMLESS" || :)
	[ -z "$difference" ] || die "the build folder's configuration is not the stock kernel's:" "$difference" \
		"Most likely a tool in the root is of another version: make clean-cache, and again."
}
