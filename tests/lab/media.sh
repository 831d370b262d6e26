# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make test-media: programs that nobody here wrote, as Debian ships them, on our
# heaps, in machines with a Debian root.

# Of libcamera what is in backports: the camera in software of trixie's 0.4 says of
# each frame that it is empty.
MEDIA_PACKAGES=(passwd strace {libcamera-tools,libcamera-v4l2,gstreamer1.0-libcamera}/trixie-backports
	gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good v4l-utils)
# Of Kodi, what Debian builds for arm64 decodes into dma-bufs (it renders with GLES);
# what it builds for amd64 does not.
KODI_PACKAGES=(kodi-bin kodi-data ffmpeg)

# test-media [ARCH]: on one architecture, or on both.
lab_test-media() {
	local arch lanes=0 VM_TIMEOUT=1800 VM_FILES=("$SRC/tools/udev/60-rust-dma-heap.rules")
	rm -rf "$RESULTS"
	mkdir -p "$RESULTS"
	lists_refresh
	for arch in ${1:-amd64 arm64}; do
		(
			test_prepare_arch "$arch"
			prepare_tools
			test_initramfs
			debian_root media "${MEDIA_PACKAGES[@]}"
			test_boot debian-media
			[ "$arch" = arm64 ] || exit 0
			debian_root kodi "${KODI_PACKAGES[@]}"
			test_boot debian-kodi
		) &
		lanes=$((lanes + 1))
	done
	wait_all "$lanes"
	results
}
