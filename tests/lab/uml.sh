# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The module's KUnit tests, in User-mode Linux: an ordinary process, so nothing
# is emulated.

uml_module() {
	mkdir -p "$BUILD/um/module"
	uml_make -j"$JOBS" M="$SRC" MO="$BUILD/um/module" modules
	cp "$BUILD/um/module/$MODULE.ko" "$BUILD/um/"
}

# uml_kunit LOG: loads the module in User-mode Linux, which runs its KUnit tests,
# and leaves the kernel's log in LOG.
uml_kunit() {
	local log=$1 dir status=0
	dir=$(mktemp -d)
	initramfs_build "$dir/initramfs" /usr/bin/busybox "$BUILD/um/$MODULE.ko"
	printf '. /lab/lib.sh\nload_module && unload_module\n' >"$dir/job"
	mkdir "$dir/lab"
	cp "$dir/job" "$dir/lab/"
	(cd "$dir" && echo lab/job | cpio --quiet -o -H newc >>initramfs)
	timeout -k 5 120 "$(uml_dir)/linux" mem=512M initrd="$dir/initramfs" rdinit=/init \
		con=null con0=null,fd:1 printk.devkmsg=on panic=-1 </dev/null >"$log" 2>&1 || status=$?
	rm -r "$dir"
	return "$status"
}
