# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The userspace programs, linked statically: the same file runs in an initramfs
# and on any board.

# The settings for all targets go to every call: cargo makes what runs at build
# time anew, and all that depends on it, when the machine's own linker changes.
cargo_settings() {
	local target name
	for target in x86_64-linux-gnu aarch64-linux-gnu i686-linux-gnu arm-linux-gnueabihf; do
		# Rust's name of the target says which 32-bit ARM.
		name=${target/#arm-/armv7-}
		name=${name/-/_unknown_}
		name=${name//-/_}
		name=${name^^}
		export "CARGO_TARGET_${name}_LINKER=$target-$GCC"
		export "CARGO_TARGET_${name}_RUSTFLAGS=-C target-feature=+crt-static"
	done
	# Keyed by compiler and checkout: cargo compares times of files only, so two
	# checkouts must not share what it has built.
	CARGO_TARGET_DIR=/lab/target/$({ rustc -vV && say "$SRC"; } | digest -)
	export CARGO_TARGET_DIR
}

# cargo_run TARGET ARGUMENT...: cargo in tools/, for a Rust target.
cargo_run() {
	export CARGO_BUILD_TARGET=$1
	shift
	cargo_settings
	(cd "$SRC/tools" && cargo "$@")
}

# The crates, once; all later calls find them in the cache and need no network.
crates_fetch() {
	(cd "$SRC/tools" && { cargo fetch --locked --offline || timeout 900 cargo fetch --locked; })
}

# The programs for $ARCH, into $PROGRAMS, which is build/ARCH. Those for video take long to compile, and
# only machines with video run them.
tools_build() {
	mkdir -p "$PROGRAMS"
	cargo_run "$RUST_TARGET" build --release --locked --offline --workspace --bins \
		--exclude camera-to-screen --exclude picture
	cp "$CARGO_TARGET_DIR/$RUST_TARGET/release"/{dmaheap,dmaheap-kselftest,dmaheap-torture,dmaheap-fault-sweep} "$PROGRAMS/"
}

# The test program for i386, to run on an amd64 kernel.
tools_build_i386() {
	local target=i686-unknown-linux-gnu
	cargo_run "$target" build --release --locked --offline --package dmaheap-kselftest
	cp "$CARGO_TARGET_DIR/$target/release/dmaheap-kselftest" "$BUILD/amd64/dmaheap-kselftest-i386"
}

# The example for $ARCH, and for this machine what looks at its pictures.
tools_build_video() {
	mkdir -p "$BUILD"/{"$ARCH",amd64}
	cargo_run "$RUST_TARGET" build --release --locked --offline --package camera-to-screen
	cp "$CARGO_TARGET_DIR/$RUST_TARGET/release/camera-to-screen" "$BUILD/$ARCH/"
	cargo_run x86_64-unknown-linux-gnu build --release --locked --offline --package picture
	cp "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/picture" "$BUILD/amd64/"
}
