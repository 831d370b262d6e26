# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make demo: the whole way from packages to verified buffers, on one page.
# make shell and `run vm`: a machine to try things in.

lab_demo() {
	local status=0 log
	prepare "${1:-amd64}"
	say "  ... boot $ARCH, load the module, verify every heap"
	vm_run "demo-$ARCH" 180 "$SRC/tests/vm/machines/demo.sh" || status=$?
	log=$BUILD/log/vm-demo-$ARCH
	say ""
	[ ! -e "$log.out" ] || cat "$log.out"
	say ""
	if ! "$LAB/log-check" "$log.console"; then
		[ "$status" -ne 0 ] || status=1
	fi
	if [ "$status" -eq 0 ]; then
		say "demo on $ARCH: all was well."
	else
		say "demo on $ARCH: FAILED (status $status). Output and kernel log: build/log/vm-demo-$ARCH.{out,console}"
	fi
	return "$status"
}

lab_shell() {
	prepare "${1:-amd64}"
	vm_command shell "$SRC/tests/vm/machines/shell.sh" "$APPEND quiet"
	"${QEMU_COMMAND[@]}" -serial mon:stdio
}

# vm ARCH COMMAND...: runs a shell command in a machine, with the module not
# loaded, and returns its output and status.
lab_vm() {
	local status=0
	arch_select "$1"
	shift
	prepare "$ARCH"
	prepare_stock_tests
	prepare_initramfs "$OUT/$SELFTEST" "$(stock_modules_dir)"
	printf '. /lab/lib.sh\n%s\n' "$*" >"$BUILD/log/vm-job"
	vm_run vm 600 "$BUILD/log/vm-job" || status=$?
	[ ! -e "$BUILD/log/vm-vm.out" ] || cat "$BUILD/log/vm-vm.out"
	return "$status"
}
