# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The module's KUnit tests, in User-mode Linux: an ordinary process, so nothing
# is emulated.

# Modules lie further from the kernel than 32 bits reach, and the module loader
# knows no GOT: C modules get -mcmodel=large by the kernel's own makefiles, Rust
# is new to them.
uml_module() {
	mkdir -p "$BUILD/um/module"
	uml_make -j"$JOBS" M="$SRC" MO="$BUILD/um/module" \
		KRUSTFLAGS="-Crelocation-model=static -Ccode-model=large" modules
	cp "$BUILD/um/module/$MODULE.ko" "$BUILD/um/"
}

# uml_kunit LOG: loads the module in User-mode Linux, which runs its KUnit tests,
# and leaves the kernel's log in LOG.
uml_kunit() {
	local log=$1 dir status=0
	dir=$(mktemp -d)
	initramfs_build "$dir/initramfs" /usr/bin/busybox "$BUILD/um/$MODULE.ko"
	mkdir -p "$dir/job/lab"
	cp "$SRC/tests/vm/machines/kunit.sh" "$dir/job/lab/job"
	archive "$dir/job" >>"$dir/initramfs"
	timeout -k 5 120 "$(uml_dir)/linux" mem=512M initrd="$dir/initramfs" rdinit=/init \
		stderr=1 printk.devkmsg=on panic=-1 </dev/null >"$log" 2>&1 || status=$?
	rm -r "$dir"
	return "$status"
}
