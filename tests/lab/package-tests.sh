# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make test-packages: our Debian packages in fresh Debian roots, with all that they
# depend on and with stock kernels: installed, upgraded, through an update of the
# kernel, and purged. On amd64 the packages are installed in a chroot, which machines
# are then booted from; on arm64 all of it happens in a machine.

# What a root has before, beside the base of debian-root.sh. The smallest of the programs
# that make an initramfs: ours is the lab's.
PACKAGE_ROOT="tiny-initramfs kmod openssl"

# test-packages [ARCH]: on one architecture, or on both.
lab_test-packages() {
	local arch lanes=0
	rm -rf "$RESULTS"
	mkdir -p "$RESULTS"
	arch_select amd64
	lists_refresh
	deb_crates
	for arch in ${1:-amd64 arm64}; do
		("packages_$arch") &
		lanes=$((lanes + 1))
	done
	wait_all "$lanes"
	results
}

# packages_prepare ARCH: the packages in this version and in a newer one, a repository
# with all that they and the kernels need, and a fresh root.
packages_prepare() {
	arch_select "$1"
	OUT=$BUILD/packages/$ARCH/machine
	mkdir -p "$OUT"
	prepare_choose
	[ -d "$(kernel_dir)/package" ] || step "fetch the kernel for $ARCH" "kernel-fetch-$ARCH" kernel_fetch
	[ -d "$(stock_modules_dir)" ] ||
		step "fetch drivers of the stock kernel for $ARCH" "stock-modules-$ARCH" stock_modules_fetch
	initramfs_build "$OUT/initramfs.cpio" "$(kernel_dir)/package/usr/bin/busybox" "$(stock_modules_dir)"
	# shellcheck disable=SC2086 # names, one a word
	debian_root packages $PACKAGE_ROOT &
	rm -f "$PACKAGES/$ARCH"/*.deb
	step "build Debian packages for $ARCH" "deb-$ARCH" deb_build
	wait_all 1
	# shellcheck disable=SC2086
	debian_root packages $PACKAGE_ROOT
}

# packages_newer VERSION: of the source as `make dist` packs it, where there is no network.
packages_newer() {
	local dir=$PACKAGES/$ARCH/source
	rm -rf "$dir"
	dist_source "$dir"
	sed -i "1s/(.*)/($1)/" "$dir/debian/changelog"
	deb_make "$dir" unshare --net
}

# packages_repository DIR PACKAGE...: PACKAGEs and ours, with all that they depend on, as
# apt likes it.
packages_repository() {
	local dir=$1
	shift
	rm -rf "$dir"
	mkdir -p "$dir"/{state,debs/partial}
	: >"$dir/state/status"
	sed 's/\[[^]]*\] //' /etc/apt/sources.list >"$dir/state/sources.list"
	# A system of that architecture alone, with nothing installed.
	# shellcheck disable=SC2086 # names, one a word
	timeout 3600 apt-get -q -y -o APT::Sandbox::User=root -o APT::Architecture="$ARCH" \
		-o APT::Architectures="$ARCH" -o Dir::Etc::sourcelist="$dir/state/sources.list" \
		-o Dir::State::status="$dir/state/status" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o Dir::Cache::archives="$dir/debs" --download-only \
		install '?essential' $DEBIAN_BASE $PACKAGE_ROOT "$@" "$PACKAGES/$ARCH"/*.deb
	rm -rf "$dir/state" "$dir/debs/partial" "$dir/debs/lock"
	cp "$PACKAGES/$ARCH"/*.deb "$dir/debs/"
	packages_index "$dir"
}

# packages_add DIR PACKAGE...: of packages that are there, other versions.
packages_add() {
	local dir=$1
	shift
	(cd "$dir/debs" && timeout 600 apt-get -q -o APT::Sandbox::User=root download "$@")
	packages_index "$dir"
}

packages_index() { (cd "$1" && dpkg-scanpackages --multiversion debs >Packages); }

packages_image() {
	local size
	size=$(du -sm "$1" | cut -f1)
	rm -f "$2"
	truncate -s "$((size + size / 8 + 64))M" "$2"
	mke2fs -q -t ext4 -O ^has_journal -d "$1" "$2"
}

# packages_boot NAME TIMEOUT JOB IMAGE [REPOSITORY [ARGUMENT...]]: a machine that writes
# to IMAGE, with ARGUMENTs for QEMU.
packages_boot() {
	local name=$1 timeout=$2 job=$3 image=$4 repository=${5:-} status=0 start=$SECONDS disk=()
	shift $(($# < 5 ? $# : 5))
	[ -z "$repository" ] || disk=(-device "virtio-blk-pci,drive=repository"
		-drive "if=none,id=repository,format=raw,readonly=on,file=$repository")
	say "  ... boot $ARCH for \"$name\""
	# shellcheck disable=SC2046 # words without a blank or pattern in them
	vm_run "$ARCH-$name" "$timeout" "$job" "$DEBIAN_APPEND lab.own-modules $APPEND" \
		$(debian_disk "$image") -m 3G "${disk[@]}" "$@" || status=$?
	"$LAB/results-split" "$BUILD/log/vm-$ARCH-$name.out" "$RESULTS/$ARCH-$name" "$status"
	result "$ARCH-$name/kernel-log" "$LAB/log-check" "$BUILD/log/vm-$ARCH-$name.console"
	say "  ok  boot $ARCH for \"$name\" ($((SECONDS - start)) s)"
}

# packages_older: release and version of the newest kernel that is older than the chosen
# one, has its source, and is of a supported series.
packages_older() {
	local series release version
	for series in $(supported_series); do
		for release in $(releases "$ARCH" "${series//./\\.}"); do
			[ "$release" != "$K_RELEASE" ] || continue
			[ "$(printf '%s\n' "$release" "$K_RELEASE" | sort -V | sed -n 2p)" = "$K_RELEASE" ] || continue
			for version in $(versions "linux-headers-$release:$ARCH"); do
				if versions "linux-source-$series" | grep -qxF "$version"; then
					say "$release $version"
					return
				fi
			done
		done
	done
	die "the mirror has no $ARCH kernel older than $K_RELEASE with its source, of the series in tests/lab/series." \
		"An update of the kernel cannot be tested without one."
}

# packages_chroot NAME: runs tests/vm/packages/chroot-NAME.sh in the root $dir.
packages_chroot() {
	local name=$1 status=0 start=$SECONDS
	say "  ... $name, in a root for $ARCH"
	mkdir -p "$dir/lab" "$dir/srv/repository"
	cp -r "$SRC"/tests/vm/* "$OUT/source.tar" "$dir/lab/"
	mount --bind "$dir-repository" "$dir/srv/repository"
	mount -t proc proc "$dir/proc"
	mount --rbind /dev "$dir/dev"
	mount -t tmpfs run "$dir/run"
	chroot "$dir" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "OLD=$old" "NEW=$K_RELEASE" "VERSION=$(deb_version)" \
		"OLD_PACKAGE=$old_package" "NEW_PACKAGE=$K_PACKAGE" "SERIES=$K_SERIES" \
		sh /lab/packages/in-chroot.sh "$name" >"$BUILD/log/packages-$ARCH-chroot-$name.out" 2>&1 </dev/null || status=$?
	# What packages have started there may still hold them; this namespace ends with them.
	umount --lazy "$dir/run" "$dir/proc" "$dir/srv/repository"
	umount --lazy --recursive "$dir/dev"
	"$LAB/results-split" "$BUILD/log/packages-$ARCH-chroot-$name.out" "$RESULTS/$ARCH-packages-chroot-$name" "$status"
	say "  ok  $name, in a root for $ARCH ($((SECONDS - start)) s)"
}

# packages_machine RELEASE: an image of the root $dir, and what boots its kernel RELEASE.
packages_machine() {
	local tmp file files
	tmp=$(mktemp -d)
	mkdir "$tmp/modules"
	for name in virtio_blk ext4; do
		files=$(modprobe -d "$dir" -S "$1" --show-depends "$name")
		while read -r _ file _; do
			mkdir -p "$tmp/modules/$1"
			case $file in
			*.xz) xz -dc "$file" >"$tmp/modules/$1/$(basename "$file" .xz)" ;;
			*) cp "$file" "$tmp/modules/$1/" ;;
			esac
		done < <(grep '^insmod ' <<<"$files")
	done
	ln -s . "$tmp/lib"
	depmod -b "$tmp" "$1"
	initramfs_build "$OUT/initramfs.cpio" "$(kernel_dir)/package/usr/bin/busybox" "$tmp/modules"
	rm -r "$tmp"
	cp "$dir/usr/lib/modules/$1/vmlinuz" "$OUT/vmlinuz"
	debian_pack "$dir" "$dir.img"
}
# The kernel of such a machine: that of the root.
packages_kernel_image() { say "$OUT/vmlinuz"; }

packages_amd64() {
	local dir=/lab/debian/packages-amd64 old old_package
	packages_prepare amd64
	step "build newer Debian packages for $ARCH, without network" "deb-newer-$ARCH" packages_newer "$(deb_version)+1"
	packages_older >"$OUT/older"
	read -r old old_package <"$OUT/older"
	say "  older kernel $old ($old_package)"
	step "fetch what the packages need on $ARCH" "packages-fetch-$ARCH" packages_repository "$dir-repository" \
		linux-base/trixie-backports "linux-image-$K_RELEASE=$K_PACKAGE" "linux-headers-$K_RELEASE=$K_PACKAGE" "linux-source-$K_SERIES=$K_PACKAGE" \
		"linux-image-$old=$old_package" "linux-headers-$old=$old_package" \
		"linux-source-$(cut -d. -f1,2 <<<"$old")=$old_package"
	step "pack the source for $ARCH" "packages-source-$ARCH" packages_source "$OUT/source.tar"
	step "fetch the name of the older source" "packages-older-source-$ARCH" packages_add "$dir-repository" "linux-source=$old_package"
	rm -rf --one-file-system "$dir"
	mkdir "$dir"
	step "unpack the fresh root for $ARCH" "packages-root-$ARCH" debugfs -R "rdump / $dir" "$DEBIAN_IMAGE"
	KERNEL=packages_kernel
	packages_chroot install
	step "make a machine of the root for $ARCH" "packages-machine-$ARCH" packages_machine "$old"
	packages_boot packages-boot 900 "$SRC/tests/vm/machines/packages-boot.sh" "$dir.img"
	packages_chroot upgrade
	packages_chroot kernel
	packages_chroot by-hand
	step "make a machine of the root for $ARCH" "packages-machine-$ARCH" packages_machine "$K_RELEASE"
	packages_signature
	VM_FILES=("$OUT/source.tar")
	packages_boot packages-purge 900 "$SRC/tests/vm/machines/packages-purge.sh" "$dir.img"
	rm -rf --one-file-system "$dir" "$dir.img" "$dir-repository"
}

# Two machines that start by UEFI, with a kernel that takes signed modules only: one does
# not know DKMS's key, the other has it in db, as machines have their owners' keys.
packages_signature() {
	local VM_BEGIN=240
	openssl x509 -inform DER -in "$dir/var/lib/dkms/mok.pub" -out "$OUT/mok.pem"
	cp /usr/share/OVMF/OVMF_VARS_4M.fd "$OUT/refused.fd"
	virt-fw-vars --input /usr/share/OVMF/OVMF_VARS_4M.fd --output "$OUT/enrolled.fd" \
		--add-db 6b1ad9a4-5d4c-4b2c-9d0a-3b6d6f6f3a51 "$OUT/mok.pem" >"$BUILD/log/packages-keys.log" 2>&1
	local name
	for name in refused enrolled; do
		APPEND="$APPEND module.sig_enforce=1" packages_boot "packages-$name" 900 "$SRC/tests/vm/machines/packages-$name.sh" "$dir.img" "" \
			-drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
			-drive "if=pflash,unit=1,format=raw,file=$OUT/$name.fd"
	done
}

packages_arm64() {
	local dir=/lab/debian/packages-arm64
	packages_prepare arm64
	# What `make kdir` and `make` are shown with.
	step "pack the source for $ARCH" "packages-source-$ARCH" packages_source "$OUT/source.tar"
	step "fetch what the packages need on $ARCH" "packages-fetch-$ARCH" packages_repository "$dir.tmp" \
		linux-base/trixie-backports "linux-image-$K_RELEASE=$K_PACKAGE" "linux-headers-$K_RELEASE=$K_PACKAGE" "linux-source-$K_SERIES=$K_PACKAGE"
	step "make an image of a repository for $ARCH" "packages-image-$ARCH" packages_image "$dir.tmp" "$dir-repository.img"
	rm -rf "$dir.tmp"
	step "make room in a fresh root for $ARCH" "packages-room-$ARCH" packages_room "$DEBIAN_IMAGE" "$dir.img"
	VM_FILES=("$OUT/source.tar")
	packages_boot packages-install 10800 "$SRC/tests/vm/machines/packages-install.sh" "$dir.img" "$dir-repository.img"
	packages_boot packages-purge 3600 "$SRC/tests/vm/machines/packages-purge.sh" "$dir.img" "$dir-repository.img"
	rm -f "$dir.img" "$dir-repository.img"
}

# packages_room IMAGE COPY: compilers and the kernel's source take some.
packages_room() {
	cp --sparse=always "$1" "$2"
	truncate -s 8G "$2"
	e2fsck -fp "$2" || [ $? -eq 1 ]
	resize2fs "$2"
}

packages_source() { (cd "$SRC" && sources | tar -cf "$1" --no-recursion -T -); }
