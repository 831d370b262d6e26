# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make check: everything that can be said without running the code.

lab_check() {
	local failed=0
	arch_select amd64
	lists_refresh
	prepare_choose
	prepare_kernel
	step "fetch crates" crates-fetch crates_fetch

	# Each check runs, whatever the others said. Every one is a script of its
	# own, so that `set -e` holds within it.
	check "SPDX lines" spdx check_spdx || failed=$((failed + 1))
	check "unsafe code only in abstractions" unsafe check_unsafe || failed=$((failed + 1))
	check "rustfmt, module" rustfmt check_rustfmt || failed=$((failed + 1))
	check "rustfmt, programs" cargo-fmt check_cargo_fmt || failed=$((failed + 1))
	check "shellcheck" shellcheck check_shell || failed=$((failed + 1))
	check "clippy, programs" clippy-tools check_clippy_tools || failed=$((failed + 1))
	check "clippy, module" clippy-module check_clippy_module || failed=$((failed + 1))
	say ""
	if [ "$failed" -gt 0 ]; then
		say "$failed checks failed."
		return 1
	fi
	say "all checks passed."
}

# check TEXT LOG FUNCTION: like step, but may be part of a condition, because
# FUNCTION runs in a shell of its own.
check() {
	step "$1" "check-$2" bash "$LAB/inside" check-one "$ARCH" "$3"
}

# check-one ARCH FUNCTION, in that shell.
lab_check-one() {
	arch_select "$1"
	kernel_resolve
	"$2"
}

# Files of the project; git is not in the root, so what it ignores is left out
# by name.
sources() { (cd "$SRC" && find . \( -name .git -o -path ./build -o -path ./vendor -o -path ./tools/target \) -prune -o -type f "$@" -printf '%P\n') | sort; }

check_spdx() {
	local file bad=0
	# Cargo.lock is cargo's, LICENSE is the licence, README.md is for reading; of debian/
	# debian/copyright tells.
	while read -r file; do
		head -n 3 "$SRC/$file" | grep -q 'SPDX-License-Identifier: GPL-2.0' || {
			say "$file: no SPDX line \"SPDX-License-Identifier: GPL-2.0\" at its top"
			bad=1
		}
	done < <(sources ! -name Cargo.lock ! -name LICENSE ! -name '*.md' ! -path './debian/*')
	head -n 3 "$SRC/uapi/linux/dma-heap.h" | grep -q 'GPL-2.0 WITH Linux-syscall-note' || {
		say "uapi/linux/dma-heap.h: lacks the syscall note"
		bad=1
	}
	return "$bad"
}

# Outside abstractions/ the compiler is told to refuse unsafe code, and the word
# stands in no code line, be it hidden in a macro.
check_unsafe() {
	local file bad=0
	while read -r file; do
		case $file in
		drivers/*/abstractions/* | drivers/abstractions/* | drivers/abstractions.rs) continue ;;
		esac
		if sed -E 's@//.*@@' "$SRC/$file" | grep -nw 'unsafe' | sed "s|^|$file:|"; then
			bad=1
		fi
		denies_unsafe "$file" || {
			say "$file: neither it nor the module it belongs to has #![deny(unsafe_code)]"
			bad=1
		}
	done < <(sources -path './drivers/*.rs')
	return "$bad"
}

# Does the file, or a module above it, deny unsafe code? drivers/a/b.rs belongs
# to drivers/a.rs or drivers/a/mod.rs. The crate root cannot: module! expands to
# unsafe code there; nor do its own lines hold any (see above).
denies_unsafe() {
	local file=$1 module
	[ "$(dirname "$file")" != drivers ] || [ "$(basename "$file")" != rust_dma_heap.rs ] || return 0
	while :; do
		for module in "$file" "${file%/*}/mod.rs"; do
			[ ! -f "$SRC/$module" ] || ! grep -qE '^#!\[(deny|forbid)\(unsafe_code\)\]' "$SRC/$module" || return 0
		done
		[ "$(dirname "$file")" != drivers ] || return 1
		file=$(dirname "$file").rs
	done
}

check_rustfmt() {
	local files
	mapfile -t files < <(cd "$SRC" && find drivers tests/importer -name '*.rs')
	(cd "$SRC" && rustfmt --check --edition 2021 --config skip_children=true \
		--config-path "$(source_dir)/.rustfmt.toml" "${files[@]}")
}

check_cargo_fmt() { (cd "$SRC/tools" && cargo fmt --all --check); }

check_clippy_tools() {
	cargo_run x86_64-unknown-linux-gnu clippy --locked --offline --workspace --all-targets -- \
		-D warnings -D clippy::undocumented_unsafe_blocks
}

check_clippy_module() {
	# Clippy speaks only when it compiles, so the folder must be new.
	rm -rf "$BUILD/clippy"
	mkdir -p "$BUILD/clippy"
	kernel_make -j"$JOBS" M="$SRC" MO="$BUILD/clippy" CLIPPY=1 RUST_DMA_HEAP_TESTS=1 \
		KRUSTFLAGS="-Dwarnings -Dclippy::undocumented_unsafe_blocks" modules
}

# What differs for the guests' scripts is in .shellcheckrc beside them.
check_shell() {
	local file files=()
	while read -r file; do
		if [[ $file == *.sh ]] || head -n 1 "$SRC/$file" | grep -qE '^#!.*\<(ba)?sh\>'; then
			files+=("$file")
		fi
	done < <(sources)
	say "${files[@]}"
	(cd "$SRC" && shellcheck "${files[@]}")
}
