# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make test-in-tree: the module as a part of the kernel's source, built in and as a
# module of that kernel, and booted.

IN_TREES=/lab/in-tree

# Where it stands in there.
IN_TREE_PLACE=drivers/dma-buf/rust-dma-heap

in_tree_select() {
	arch_select amd64
	KERNEL=in_tree
	OUT=$BUILD/in-tree
}

in_tree_dir() {
	local key
	key=$(digest "$LAB/in-tree.sh" "$LAB/machine.config" "$LAB/kernel-config.sh" - <<<"$K_PACKAGE $K_TOOLS")
	say "$IN_TREES/$K_BASE-$key"
}

in_tree_make() {
	make -C "$(in_tree_dir)/o" ARCH=x86 CC="${CROSS}gcc-14" RUST_DMA_HEAP_TESTS=1 "$@"
}

in_tree_image() { say "$(in_tree_dir)/bzImage"; }

# The kernel's source with ours in its place. All other files are links to the
# source in the cache, so nothing may write to them.
in_tree_place() {
	local dir folder
	dir=$(in_tree_dir)
	folder=$dir/source/${IN_TREE_PLACE%/*}
	if [ ! -d "$dir/source" ]; then
		mkdir -p "$dir"
		rm -rf "$dir/source.tmp"
		cp -al "$(source_dir)" "$dir/source.tmp"
		mv "$dir/source.tmp" "$dir/source"
		# These are made anew, as files of their own.
		sed -i "\$a source \"$IN_TREE_PLACE/Kconfig\"" "$folder/Kconfig"
		sed -i "\$a obj-y += ${IN_TREE_PLACE##*/}/" "$folder/Makefile"
	fi
	rm -rf "$dir/source/$IN_TREE_PLACE"
	mkdir -p "$dir/source/$IN_TREE_PLACE/tests"
	cp -a "$SRC"/{Kbuild,Kconfig,drivers,include,uapi} "$dir/source/$IN_TREE_PLACE/"
	cp -a "$SRC/tests/importer" "$dir/source/$IN_TREE_PLACE/tests/"
}

# in_tree_build y|m: built in, or as a module.
in_tree_build() {
	local dir
	dir=$(in_tree_dir)
	in_tree_place
	say "CONFIG_RUST_DMA_HEAP=$1" >"$dir/heap.config"
	config_build "$dir/o" "$dir/source" in_tree_make "$LAB/machine.config" "$dir/heap.config"
	in_tree_make -j"$JOBS" HOSTRUSTFLAGS=-Copt-level=0 bzImage modules
	rm -rf "$dir/package"
	in_tree_make INSTALL_MOD_PATH="$dir/package" INSTALL_MOD_STRIP=1 modules_install
	cp "$dir/o/arch/x86/boot/bzImage" "$dir/bzImage"
	mkdir -p "$OUT"
	rm -f "$OUT"/*.ko
	find "$dir/package" \( -name "$MODULE.ko" -o -name "$IMPORTER.ko" \) -exec mv {} "$OUT/" \;
}

# A machine of amd64 for each.
lab_test-in-tree() {
	local how modules
	rm -rf "$RESULTS"
	mkdir -p "$RESULTS"
	lists_refresh
	in_tree_select
	prepare_choose
	step "fetch the kernel's source" source-fetch source_fetch
	prepare_tools
	for how in m y; do
		step "build a kernel with this tree in its source ($how)" "in-tree-$how" in_tree_build "$how"
		step "build the kernel's selftest" in-tree-selftest selftest_build "${CROSS}gcc-14" "$OUT/$SELFTEST"
		mapfile -t modules < <(compgen -G "$OUT/*.ko")
		initramfs_build "$OUT/initramfs.cpio" /usr/bin/busybox "${modules[@]}" \
			"$OUT/$SELFTEST" "$BUILD/$ARCH"/{dmaheap,dmaheap-kselftest} "$(in_tree_dir)/package/lib/modules"
		case $how in
		m) test_boot suite-in-tree ;;
		y) test_boot suite-built-in ;;
		esac
	done
	kernel_prune
	results
}
