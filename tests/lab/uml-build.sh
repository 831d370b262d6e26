# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# A User-mode Linux kernel with KUnit, from the same source as the stock kernel.
# A change to this file makes it anew.

UMLS=/lab/uml

uml_dir() {
	local key
	key=$(digest "$LAB/uml-build.sh" "$LAB/uml.config" - <<<"$K_PACKAGE $K_TOOLS")
	say "$UMLS/$K_BASE-$key"
}

uml_make() { make -C "$(uml_dir)" ARCH=um SUBARCH=x86 CC=x86_64-linux-gnu-gcc-14 "$@"; }

uml_build() {
	local dir missing
	dir=$(uml_dir)
	[ ! -e "$dir/done" ] || return 0
	# Kbuild goes on where an interrupted build has stopped.
	mkdir -p "$dir"
	make -C "$(source_dir)" O="$dir" ARCH=um SUBARCH=x86 outputmakefile
	uml_make KCONFIG_ALLCONFIG="$LAB/uml.config" allnoconfig
	# Kconfig drops what it cannot have without a word.
	missing=$(grep -E '^CONFIG_' "$LAB/uml.config" | grep -vxFf "$dir/.config" || :)
	[ -z "$missing" ] || die "User-mode Linux $K_BASE cannot have: ${missing//$'\n'/ }"
	uml_make -j"$JOBS" HOSTRUSTFLAGS=-Copt-level=0 linux modules
	touch "$dir/done"
}
