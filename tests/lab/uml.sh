# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The module's KUnit tests, in a User-mode Linux kernel made from the same
# source as the stock kernel. It is an ordinary process: no emulation.

UMLS=/lab/uml

uml_dir() {
	local key
	key=$(digest "$LAB/uml.sh" "$LAB/uml.config" - <<<"$K_PACKAGE $K_TOOLS")
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
	uml_make -j"$JOBS" linux modules
	touch "$dir/done"
}

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
