# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Kernels of the lab's own, from the same source as the stock kernel and with a
# configuration that says all they have.

# config_build DIR CONFIG MAKE: a build folder with exactly what CONFIG names and
# what that brings with it. MAKE runs make in it.
config_build() {
	local dir=$1 config=$2 make=$3 missing
	# Kbuild goes on where an interrupted build has stopped.
	mkdir -p "$dir"
	make -C "$(source_dir)" O="$dir" outputmakefile
	"$make" KCONFIG_ALLCONFIG="$config" allnoconfig
	# Kconfig drops what it cannot have without a word.
	missing=$(grep -E '^CONFIG_' "$config" | grep -vxFf "$dir/.config" || :)
	[ -z "$missing" ] || die "Linux $K_BASE cannot have what ${config##*/} asks for: ${missing//$'\n'/ }"
}
