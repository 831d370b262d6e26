# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# A User-mode Linux kernel with KUnit, from the same source as the stock kernel.
# A change to this file makes it anew.

UMLS=/lab/uml

uml_dir() {
	local key
	key=$(digest "$LAB/uml-build.sh" "$LAB/uml.config" "$LAB/kernel-config.sh" - <<<"$K_PACKAGE $K_TOOLS")
	say "$UMLS/$K_BASE-$key"
}

uml_make() { make -C "$(uml_dir)" ARCH=um SUBARCH=x86 CC=x86_64-linux-gnu-gcc-14 "$@"; }

uml_build() {
	local dir
	dir=$(uml_dir)
	[ ! -e "$dir/done" ] || return 0
	config_build "$dir" "$(source_dir)" uml_make "$LAB/uml.config"
	uml_make -j"$JOBS" HOSTRUSTFLAGS=-Copt-level=0 linux modules
	touch "$dir/done"
}
