# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make test-matrix: builds the module for every kernel of the file "kernels", and runs
# there what is tested in an ordinary boot. One that cannot be had does not stop the
# others; the table names it with the reason.
#
# tests/lab/run calls the first function in the root of each suite, the second one
# after them.

MATRIX=$BUILD/matrix
# Kernels that are being prepared and machines that run at a time.
MATRIX_LANES=2

# test-matrix PATTERN: the kernels of this suite whose names match. What comes of one
# is in build/matrix: NAME.release, NAME.log, or NAME.reason if there are no results.
lab_test-matrix() {
	local line programs names=()
	local -A arches=()
	# One kernel release is not what it is about.
	KVER=
	while read -ra line; do
		if [ "${line[1]}" = "$SUITE" ]; then
			names+=("${line[0]}")
			arches[${line[2]}]=y
		fi
	done < <(matrix_lines "$1")

	arch_select amd64
	lists_refresh
	step "fetch crates" crates-fetch crates_fetch
	matrix_programs "${!arches[@]}" &
	programs=$!
	for line in "${names[@]}"; do
		while [ "$(jobs -rp | grep -cvx "$programs")" -ge "$MATRIX_LANES" ]; do
			wait -n || :
		done
		matrix_kernel "$line" &
	done
	wait
}

# matrix_programs ARCH...: they do not depend on the kernel, so they are built while
# the first ones are being prepared.
matrix_programs() {
	local arch
	for arch; do
		# In a shell of its own, so that `set -e` holds there.
		bash "$LAB/inside" matrix-programs "$arch" || :
		: >"$MATRIX/$SUITE-$arch.tried"
	done
}

lab_matrix-programs() {
	arch_select "$1"
	if [ "$ARCH" = armhf ]; then
		lists_refresh
		step "fetch Rust's standard library for $ARCH" std-armhf armhf_std
	fi
	step "build the programs for $ARCH" "tools-$SUITE-$ARCH" tools_build
	if [ "$ARCH" = amd64 ] && [ "$SUITE" = trixie ]; then
		step "build the test program for i386" tools-i386 tools_build_i386
	fi
	: >"$MATRIX/$SUITE-$ARCH.programs"
}

matrix_programs_wait() {
	until [ -e "$MATRIX/$SUITE-$ARCH.tried" ]; do
		sleep 1
	done
	[ -e "$MATRIX/$SUITE-$ARCH.programs" ] || {
		STEP_FAILED="the programs for $ARCH cannot be built: build/log/tools-$SUITE-$ARCH.log"
		return 1
	}
}

# One kernel. What fails here ends this shell, and the trap tells it.
matrix_kernel() {
	# 32-bit ARM is emulated slowly.
	local files=() VM_TIMEOUT=1800
	STEP_FAILED=
	kernel_select "$1"
	RESULTS=$MATRIX/$LABEL
	trap '[ -e "$RESULTS.log" ] || [ -e "$RESULTS.reason" ] ||
		say "${STEP_FAILED:-it ended before its results were there}" >"$RESULTS.reason"' EXIT
	lists_refresh
	[ "$ARCH" != armhf ] || armhf_unverified
	if ! kernel_find "$(supported_series)"; then
		matrix_none >"$RESULTS.reason"
		return
	fi
	say "  kernel $K_RELEASE (Debian package $K_PACKAGE) for $LABEL"
	say "$K_RELEASE" >"$RESULTS.release"
	prepare_kernel
	prepare_stock_tests
	prepare_module
	matrix_programs_wait
	if [ "$FLAVOUR" = amd64 ] && [ "$SUITE" = trixie ]; then
		step "build the kernel's selftest for i386, $LABEL" "selftest-i386-$LABEL" \
			selftest_build i686-linux-gnu-gcc-14 "$OUT/$SELFTEST-i386"
		files=("$PROGRAMS/dmaheap-kselftest-i386" "$OUT/$SELFTEST-i386")
	fi
	prepare_initramfs "$OUT/$SELFTEST" "$(stock_modules_dir)" "${files[@]}"
	test_boot suite
	# Its status is in the table.
	"$LAB/harness" "$RESULTS" "$SRC/tests/skips" >"$RESULTS.log.tmp" || :
	mv "$RESULTS.log.tmp" "$RESULTS.log"
}

# Why there is no such kernel.
matrix_none() {
	local series there
	series=$(supported_series | tr '\n' ' ')
	there=$(all_series "$FLAVOUR" | tr '\n' ' ')
	say "no kernel $FLAVOUR of ${series:-a supported series }with its source in the package lists," \
		"which have: ${there:-none }${LISTS_TROUBLE:+(not read anew: $LISTS_TROUBLE)}"
}

# matrix-table PATTERN: what came of all of them, and in which tests some failed.
lab_matrix-table() {
	local name suite release result passed=0 failed=0 missing=0 table=()
	while read -r name suite _; do
		release=-
		[ ! -e "$MATRIX/$name.release" ] || release=$(<"$MATRIX/$name.release")
		if [ -e "$MATRIX/$name.log" ]; then
			result=$(tail -n 1 "$MATRIX/$name.log")
			if [[ $result =~ ^[1-9][0-9]*\ passed,\ 0\ failed ]]; then
				passed=$((passed + 1))
			else
				failed=$((failed + 1))
				say ""
				say "$name:"
				grep -A 30 '^  FAIL' "$MATRIX/$name.log" | grep -Ev '^  ok |^    skipped' || :
			fi
		else
			missing=$((missing + 1))
			result="not run: $(cat "$MATRIX/$name.reason" "$MATRIX/$suite.reason" 2>/dev/null || :)"
		fi
		table+=("$(printf '  %-15s %-26s %s' "$name" "$release" "$result")")
	done < <(matrix_lines "$1")
	say ""
	printf '  %-15s %-26s %s\n' kernel release result
	printf '%s\n' "${table[@]}"
	say ""
	# Nothing but this on the last line: others read it.
	say "$passed kernels passed, $failed failed, $missing not run"
	[ "$failed" -eq 0 ] && [ "$missing" -eq 0 ]
}
