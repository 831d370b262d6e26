# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What a virtual machine finds at its start: busybox, the module, the programs
# and the scripts of tests/vm.

# initramfs_build OUT BUSYBOX FILE...: FILEs go into /lab of the guest. If one of
# them is a directory "modules", modprobe finds what is in it.
initramfs_build() {
	local out=$1 busybox=$2 dir
	shift 2
	dir=$(mktemp -d)
	mkdir -p "$dir"/{bin,lib,lab,proc,sys,dev,tmp,run,etc}
	cp "$busybox" "$dir/bin/busybox"
	cp -r "$SRC"/tests/vm/* "$@" "$dir/lab/"
	cp "$SRC/tests/vm/boot/init" "$dir/init"
	ln -s /lab/modules "$dir/lib/modules"
	printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$dir/etc/passwd"
	# Users without rights run there, too.
	chmod 755 "$dir" "$dir/init"
	archive "$dir" >"$out.tmp"
	mv "$out.tmp" "$out"
	rm -r "$dir"
}

# The content of a directory as a cpio archive, in one order and owned by root.
archive() { (cd "$1" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0); }
