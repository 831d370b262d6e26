# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Kernels of the lab's own, from the same source as the stock kernel and with a
# configuration that says all they have.

# config_build DIR SOURCE MAKE CONFIG...: a build folder for the kernel SOURCE, with
# exactly what the CONFIGs name and what that brings with it. MAKE runs make in it.
config_build() {
	local dir=$1 source=$2 make=$3 missing
	shift 3
	# Kbuild goes on where an interrupted build has stopped.
	mkdir -p "$dir"
	make -C "$source" O="$dir" outputmakefile
	cat "$@" >"$dir/wanted.config"
	"$make" KCONFIG_ALLCONFIG="$dir/wanted.config" allnoconfig
	# Kconfig drops what it cannot have without a word.
	missing=$(grep -E '^CONFIG_' "$dir/wanted.config" | grep -vxFf "$dir/.config" || :)
	[ -z "$missing" ] || die "Linux $K_BASE cannot have what ${*##*/} ask for: ${missing//$'\n'/ }"
}
