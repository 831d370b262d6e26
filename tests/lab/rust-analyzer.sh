# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make rust-analyzer: rust-project.json for the stock kernel of amd64, with paths as
# they are outside of the Debian root.

lab_rust-analyzer() {
	arch_select amd64
	lists_refresh
	prepare_choose
	prepare_kernel
	prepare_module
	step "describe the crates" rust-analyzer describe_crates
}

describe_crates() {
	kernel_make M="$SRC" MO="$OUT/module" rust-analyzer
	"$SRC/tools/machine/rust-analyzer" --rename "/lab=$LAB_CACHE" --rename "/usr=$LAB_ROOT/usr" "$OUT/module" \
		>"$BUILD/rust-project.json"
}
