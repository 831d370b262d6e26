# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make sanitize: tests on a kernel that checks every access to memory, every lock
# and every DMA mapping. Each script tests/vm/machines/sanitize-*.sh has a machine of its
# own; what that is made of stands with the others, in test.sh.

sanitizer_image() { say "$(sanitizer_dir)/o/arch/x86/boot/bzImage"; }

# sanitize [PATTERN]: all machines, or those whose names match.
lab_sanitize() {
	local suites
	mapfile -t suites < <(sanitize_suites "${1:-*}")
	[ "${#suites[@]}" -gt 0 ] || die "no machine of make sanitize is called ${1:-*}." \
		"There are: $(sanitize_suites '*' | tr '\n' ' ')"
	rm -rf "$RESULTS"
	mkdir -p "$RESULTS"
	lists_refresh
	sanitize_prepare
	sanitize_boots "${suites[@]}"
	results
}

# The scripts' names, the one that takes longest first, those that are short last.
# sanitize-mutants has only a part of what the others have.
sanitize_suites() {
	(cd "$SRC/tests/vm/machines" && compgen -G "sanitize-$1.sh" | sed 's/\.sh$//' | grep -vx sanitize-mutants |
		awk '{ print /sweep/ ? 1 : /kunit|nodes/ ? 3 : 2, $0 }' | sort | cut -d' ' -f2) || :
}

sanitize_prepare() {
	sanitizer_select
	prepare_choose
	step "fetch the kernel's source" source-fetch source_fetch
	step "build the sanitizer kernel" sanitizer-build sanitizer_build
	kernel_prune
	prepare_tools
	step "build the module for the sanitizer kernel" sanitizer-module module_build
	step "build the kernel's selftest" sanitizer-selftest \
		selftest_build "${CROSS}gcc-14" "$OUT/$SELFTEST"
	initramfs_build "$OUT/initramfs.cpio" /usr/bin/busybox "$OUT"/{"$MODULE","$IMPORTER"}.ko \
		"$OUT/$SELFTEST" "$BUILD/$ARCH"/{dmaheap,dmaheap-kselftest,dmaheap-torture,dmaheap-fault-sweep} \
		"$(sanitizer_dir)/package/lib/modules"
}

sanitize_boot() {
	test_boot "$1"
	# These print their results into the kernel log.
	[ "$1" != sanitize-kunit ] ||
		"$LAB/kunit-split" "$BUILD/log/vm-$ARCH-$1.console" "$RESULTS/$ARCH-$1-suites" 0
}

# Two machines at a time.
sanitize_boots() {
	local suite running=0 VM_BEGIN=300 VM_TIMEOUT=2400 VM_MEMORY=2G
	for suite; do
		if [ "$running" -eq 2 ]; then
			wait_all 1
			running=1
		fi
		sanitize_boot "$suite" &
		running=$((running + 1))
	done
	wait_all "$running"
}

# sanitizer-vm COMMAND...: runs a shell command in such a machine, with the module
# not loaded, and returns its output and status.
lab_sanitizer-vm() {
	local status=0 machine VM_BEGIN=300 VM_MEMORY=2G
	lists_refresh
	sanitize_prepare
	# shellcheck disable=SC2207 # words without a blank or pattern in them
	machine=($(test_machine sanitize-vm))
	printf '. /lab/lib/sanitized.sh\n%s\n' "$*" >"$BUILD/log/vm-job"
	vm_run vm 1500 "$BUILD/log/vm-job" "$(test_append sanitize-vm)" "${machine[@]}" || status=$?
	[ ! -e "$BUILD/log/vm-vm.out" ] || cat "$BUILD/log/vm-vm.out"
	return "$status"
}
