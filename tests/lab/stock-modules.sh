# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Drivers of the stock kernel: those that import dma-bufs and need no hardware, and
# what a Debian root on a disk takes. They have a package of their own, large and
# for the most part of no use here: what is needed is kept in the cache, the rest
# is not.

STOCK_MODULES="vgem bochs vivid virtio-gpu virtio_blk ext4"

# A directory that can be a guest's /lib/modules. Its parent's name tells what
# is in it.
stock_modules_dir() { say "$(kernel_dir)/stock-$(digest - <<<"$STOCK_MODULES")/modules"; }

stock_modules_fetch() {
	local dir out name file files
	dir=$(dirname "$(stock_modules_dir)")
	[ ! -d "$dir" ] || return 0
	rm -rf "$(kernel_dir)"/stock-*
	fetch "$dir.tmp/all" "linux-modules-$K_RELEASE:$ARCH=$K_PACKAGE"
	# kmod looks for lib/modules below the directory it is given.
	ln -s usr/lib "$dir.tmp/all/lib"
	depmod -b "$dir.tmp/all" "$K_RELEASE"
	out=$dir.tmp/lib/modules/$K_RELEASE
	mkdir -p "$out"
	for name in $STOCK_MODULES; do
		files=$(modprobe -d "$dir.tmp/all" -S "$K_RELEASE" --show-depends "$name")
		while read -r _ file _; do
			case $file in
			*.ko) cp "$file" "$out/" ;;
			# The guest's busybox need not know how it is compressed.
			*.ko.xz) xz -dc "$file" >"$out/$(basename "$file" .xz)" ;;
			*) die "no way is known to unpack $file." "Add it to tests/lab/stock-modules.sh." ;;
			esac
		done < <(grep '^insmod ' <<<"$files")
	done
	depmod -b "$dir.tmp" "$K_RELEASE"
	mv "$dir.tmp/lib/modules" "$dir.tmp/modules"
	rm -r "$dir.tmp/all" "$dir.tmp/lib"
	mv "$dir.tmp" "$dir"
}
