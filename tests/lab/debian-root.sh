# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Debian roots for virtual machines, of either architecture, with systemd: a disk
# image that the cache keeps, by the packages that are in it.
#
#   debian_root ROOT PACKAGE...         makes the image ROOT, unless it is there
#   debian_boot NAME TIMEOUT JOB ...    boots a machine from it, as vm_run does
#
# A machine writes to a copy of its own that ends with it, so each one finds the
# root as it was made. JOB runs under systemd, with everything of the initramfs in
# /lab and the stock kernel's modules of stock-modules.sh in /lib/modules. Nothing
# of ours is in the image.

DEBIANS=/lab/debian

# What each root has. Without e2fsprogs and the like: it is booted, not kept.
DEBIAN_BASE="systemd-sysv udev kmod procps"

# The console is for the kernel's log alone.
DEBIAN_APPEND="lab.debian systemd.show_status=0 systemd.mask=serial-getty@ttyS0.service systemd.mask=serial-getty@ttyAMA0.service"

# debian_root ROOT PACKAGE...: sets DEBIAN_IMAGE. Needs the initramfs of
# test_initramfs.
debian_root() {
	local root=$ARCH-$1 dir
	shift
	# A change to what makes it makes it anew.
	DEBIAN_IMAGE=$DEBIANS/$root-$(digest "$LAB/debian-root.sh" "$LAB/debian-configure" - <<<"$*").img
	[ ! -e "$DEBIAN_IMAGE" ] || return 0
	dir=$DEBIANS/$root.tmp
	rm -rf --one-file-system "$dir" "$DEBIANS/$root"-*
	mkdir -p "$dir"
	step "fetch packages of a Debian root for $ARCH" "debian-fetch-$ARCH" debian_fetch "$dir" "$@"
	if [ "$ARCH" = "$(dpkg --print-architecture)" ]; then
		step "configure the Debian root for $ARCH" "debian-configure-$ARCH" debian_configure "$dir"
		step "make an image of the Debian root for $ARCH" "debian-image-$ARCH" debian_pack "$dir" "$DEBIAN_IMAGE.tmp"
	else
		step "make an image of the Debian root for $ARCH" "debian-image-$ARCH" debian_pack "$dir" "$DEBIAN_IMAGE.tmp"
		step "configure the Debian root for $ARCH in a machine of it" "debian-configure-$ARCH" \
			debian_configure_in_vm "$DEBIAN_IMAGE.tmp"
	fi
	rm -rf "$dir"
	mv "$DEBIAN_IMAGE.tmp" "$DEBIAN_IMAGE"
}

# debian_fetch DIR PACKAGE...: downloads packages with all they depend on, and
# unpacks those without which no other can be installed.
debian_fetch() {
	local dir=$1 apt deb
	shift
	mkdir -p "$dir"/{debs/partial,essential/partial,var/lib/dpkg,lab}
	: >"$dir/var/lib/dpkg/status"
	sed 's/\[[^]]*\] //' /etc/apt/sources.list >"$dir/debs/sources.list"
	# A system of that architecture alone, with nothing installed.
	apt=(timeout 3600 apt-get -q -y -o APT::Sandbox::User=root -o APT::Architecture="$ARCH"
		-o APT::Architectures="$ARCH" -o Dir::Etc::sourcelist="$dir/debs/sources.list"
		-o Dir::State::status="$dir/var/lib/dpkg/status" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= --download-only)
	"${apt[@]}" -o Dir::Cache::archives="$dir/essential" install '?essential' apt
	# shellcheck disable=SC2086 # names, one a word
	"${apt[@]}" -o Dir::Cache::archives="$dir/debs" install '?essential' apt $DEBIAN_BASE "$@"
	for deb in "$dir"/essential/*.deb; do
		dpkg-deb -x "$deb" "$dir"
		rm "$dir/debs/$(basename "$deb")"
	done
	cp "$LAB/debian-configure" "$dir/debs/"
	mkdir -p "$dir/usr/lib/modules"
	say "debian" >"$dir/etc/hostname"
	# Else the first start asks for settings.
	sha256sum <<<"$DEBIAN_IMAGE" | cut -c1-32 >"$dir/etc/machine-id"
}

debian_configure() {
	mount -t proc proc "$1/proc"
	mount --rbind /dev "$1/dev"
	chroot "$1" sh /debs/debian-configure
	umount -R "$1/dev"
	umount "$1/proc"
}

# debian_pack DIR IMAGE: with room for what machines write.
debian_pack() {
	local size
	size=$(du -sm "$1" | cut -f1)
	rm -f "$2"
	truncate -s "$((size * 3 + 1024))M" "$2"
	mke2fs -q -t ext4 -O ^has_journal -E root_owner=0:0 -d "$1" "$2"
}

debian_configure_in_vm() {
	local status=0
	# shellcheck disable=SC2046 # words without a blank or pattern in them
	vm_run "debian-configure-$ARCH" 3600 "$SRC/tests/vm/machines/debian-configure.sh" "$APPEND" \
		$(debian_disk "$1") || status=$?
	tail -n 40 "$BUILD/log/vm-debian-configure-$ARCH.out"
	return "$status"
}

# QEMU's words for the disk; more may follow for it.
debian_disk() { say -m 2G -device virtio-blk-pci,drive=root -drive "if=none,id=root,format=raw,cache=unsafe,file=$1${2:-}"; }

# debian_boot NAME TIMEOUT JOB [APPEND [ARGUMENT...]]: as vm_run.
debian_boot() {
	local name=$1 timeout=$2 job=$3 append=${4-$APPEND}
	shift $(($# < 4 ? $# : 4))
	# shellcheck disable=SC2046 # words without a blank or pattern in them
	TMPDIR=$DEBIANS vm_run "$name" "$timeout" "$job" "$DEBIAN_APPEND $append" \
		$(debian_disk "$DEBIAN_IMAGE" ,snapshot=on) "$@"
}
