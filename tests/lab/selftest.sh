# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The kernel's own selftest of dma-buf heaps, from the source of the kernel that
# it is to run on, by the kernel's own build system and as it is.

SELFTEST=dmabuf-heap

# selftest_build COMPILER OUT: the program, linked statically as its Makefile
# wants it.
selftest_build() {
	local dir=$OUT/selftest-$1
	mkdir -p "$dir"
	"${KERNEL}_make" -j"$JOBS" headers
	# Without FORCE_TARGETS a test that does not build counts as a success.
	make -C "$(source_dir)/tools/testing/selftests" O="$dir" TARGETS=dmabuf-heaps FORCE_TARGETS=1 \
		ARCH="$KARCH" CC="$1" KHDR_INCLUDES="-isystem $("${KERNEL}_dir")/o/usr/include"
	cp "$dir/kselftest/dmabuf-heaps/$SELFTEST" "$2"
}
