# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The kernel of `make sanitize`, from the same source as the stock kernel, by
# clang: CONFIG_RUST and CONFIG_KASAN go together with no other compiler. A
# change to this file makes it anew.

SANITIZERS=/lab/sanitizer

sanitizer_dir() {
	local key
	key=$(digest "$LAB/sanitizer-build.sh" "$LAB"/{machine,sanitizer}.config "$LAB/kernel-config.sh" - <<<"$K_PACKAGE $K_TOOLS")
	say "$SANITIZERS/$K_BASE-$key"
}

sanitizer_make() { make -C "$(sanitizer_dir)/o" ARCH=x86 LLVM=1 "$@"; }

sanitizer_build() {
	local dir
	dir=$(sanitizer_dir)
	[ ! -e "$dir/done" ] || return 0
	config_build "$dir/o" "$(source_dir)" sanitizer_make "$LAB"/{machine,sanitizer}.config
	sanitizer_make -j"$JOBS" HOSTRUSTFLAGS=-Copt-level=0 bzImage modules
	rm -rf "$dir/package"
	sanitizer_make INSTALL_MOD_PATH="$dir/package" modules_install
	touch "$dir/done"
}
