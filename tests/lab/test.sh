# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make test: prepares everything, two long jobs at a time, then runs all tests
# and counts them. Every test leaves a file of TAP in build/test.

RESULTS=$BUILD/test

lab_test() {
	local arch
	rm -rf "$RESULTS"
	mkdir -p "$RESULTS"
	[ -z "${KVER:-}" ] || say "  KVER=$KVER: this is not the default run"

	lists_refresh
	# Fetching one thing while compiling another keeps two processors busy, and
	# the Rust part of a kernel build does not use more than one.
	(test_prepare_arch arm64) &
	(test_prepare_amd64) &
	wait_all 2

	test_on_host
	for arch in arm64 amd64; do
		arch_select "$arch"
		kernel_resolve
		test_boot suite "$APPEND"
	done
	test_boot suite-nocma ""
	test_kunit

	say ""
	say "Results:"
	"$LAB/harness" "$RESULTS" "$SRC/tests/skips"
}

test_prepare_arch() {
	arch_select "$1"
	prepare_choose
	prepare_kernel
	prepare_module
	prepare_tools
	prepare_initramfs
}

# amd64 also has the i386 programs and the User-mode Linux kernel.
test_prepare_amd64() {
	arch_select amd64
	prepare_choose
	prepare_kernel
	step "build the User-mode Linux kernel" uml-build uml_build
	prepare_module
	step "build the module for User-mode Linux" module-um uml_module
	prepare_tools
	step "build the test program for i386" tools-i386 tools_build_i386
	prepare_initramfs "$BUILD/amd64/dmaheap-kselftest-i386"
}

# result NAME COMMAND...: takes the command's output as the TAP file NAME.
result() {
	local name=$1 status=0
	shift
	mkdir -p "$(dirname "$RESULTS/$name")"
	"$@" >"$RESULTS/$name.tap" 2>&1 </dev/null || status=$?
	say "$status" >"$RESULTS/$name.exit"
}

# What needs no machine: the ABI header and the programs' own unit tests.
test_on_host() {
	say "  ... ABI header and unit tests"
	result uapi "$SRC/tests/uapi/compare"
	result cargo "$LAB/cargo-tap"
}

# Boots $ARCH and runs tests/vm/$1.sh there; cuts its output into TAP files.
test_boot() {
	local suite=$1 append=$2 name=$ARCH-$1 status=0 start=$SECONDS
	say "  ... boot $ARCH for the tests \"$suite\""
	vm_run "$name" 900 "$SRC/tests/vm/$suite.sh" "$append" || status=$?
	"$LAB/results-split" "$BUILD/log/vm-$name.out" "$RESULTS/$name" "$status"
	result "$name/kernel-log" "$LAB/log-check" "$BUILD/log/vm-$name.console"
	say "  ok  boot $ARCH for the tests \"$suite\" ($((SECONDS - start)) s)"
}

# On $ARCH amd64. The KUnit tests print their results into the kernel log.
test_kunit() {
	local status=0 start=$SECONDS log=$BUILD/log/kunit.console
	say "  ... KUnit in User-mode Linux"
	uml_kunit "$log" || status=$?
	"$LAB/kunit-split" "$log" "$RESULTS/kunit" "$status"
	result kunit/kernel-log "$LAB/log-check" "$log"
	say "  ok  KUnit in User-mode Linux ($((SECONDS - start)) s)"
}
