# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make test-mutants: are the tests worth anything? Each patch of tests/mutants
# breaks the module on purpose, in a copy of the tree, and a test must fail then.
#
# A patch says before its diff what it breaks, and in a line "Boot: SUITE" in
# which machine of the tests that shows, or of `make sanitize`. A machine counts
# only if the module without a patch passes there first.

MUTANTS=$BUILD/mutants
# A broken module may hang; the longest of these machines needs less than two
# minutes where nothing else runs.
MUTANT_SECONDS=600

# Of the boots: whether it is one on the kernel with sanitizers.
mutant_is_sanitized() { [[ $1 == sanitize-* ]]; }

# Picks architecture and kernel for a boot.
mutant_select() {
	if mutant_is_sanitized "$1"; then sanitizer_select; else arch_select amd64; fi
}

# test-mutants [PATTERN]: all, or those whose names match.
lab_test-mutants() {
	local name names boot boots caught=0 survived=0 other=0 verdict

	mapfile -t names < <(mutants_named "${1:-*}")
	[ "${#names[@]}" -gt 0 ] || die "no patch of tests/mutants is called ${1:-*}.patch."
	rm -rf "$MUTANTS/results"
	mkdir -p "$MUTANTS/results"
	lists_refresh

	# What cannot be tried is told before the long part.
	mutant_fresh_tree
	for name in "${names[@]}"; do
		mutant_look "$name"
	done
	mapfile -t boots < <(mutants_boots "${names[@]}")
	mutants_prepare "${boots[@]}"
	for boot in "${boots[@]}"; do
		mutants_control "$boot"
	done

	for name in "${names[@]}"; do
		[ -e "$MUTANTS/results/$name.verdict" ] || mutant_try "$name"
		verdict=$(<"$MUTANTS/results/$name.verdict")
		case $verdict in
		caught) caught=$((caught + 1)) ;;
		survived) survived=$((survived + 1)) ;;
		*) other=$((other + 1)) ;;
		esac
	done

	say ""
	[ "$other" -eq 0 ] || say "$other could not be tried: see above."
	# Nothing but this on the last line: others read it.
	say "$caught caught, $survived survived"
	[ "$survived" -eq 0 ] && [ "$other" -eq 0 ]
}

mutants_named() { (cd "$SRC/tests/mutants" && compgen -G "$1.patch" | sed 's/\.patch$//' | sort) || :; }

# mutants_prepare BOOT...: the kernels that they need.
mutants_prepare() {
	local boot
	local -A kernels=()
	for boot; do
		if mutant_is_sanitized "$boot"; then kernels[sanitizer]=y; else kernels[stock]=y; fi
	done
	[ -z "${kernels[stock]:-}" ] || mutants_prepare_stock
	[ -z "${kernels[sanitizer]:-}" ] || sanitize_prepare
}

mutants_prepare_stock() {
	arch_select amd64
	prepare_choose
	prepare_kernel
	prepare_stock_tests
	prepare_module
	prepare_c_heaps
	prepare_tools
	test_initramfs
}

mutant_patch() { say "$SRC/tests/mutants/$1.patch"; }

# The suite that shows the mutant.
mutant_boot() { sed -nE '/^diff /q; s/^Boot: *([a-z-]+)$/\1/p' "$(mutant_patch "$1")"; }

# The suites that those mutants need which can be tried, each once.
mutants_boots() {
	local name
	for name; do
		[ -e "$MUTANTS/results/$name.verdict" ] || mutant_boot "$name"
	done | sort -u
}

# verdict NAME WORD TEXT
verdict() {
	say "$2" >"$MUTANTS/results/$1.verdict"
	say "  $2: $1${3:+, $3}"
}

# What the module is built from, as it is in the checkout. Files that a patch has
# changed get a new time, so that they are compiled again.
mutant_fresh_tree() {
	mkdir -p "$MUTANTS/tree"
	rsync -rlc --delete "$SRC"/{Kbuild,Kconfig,drivers,include,uapi} "$MUTANTS/tree/"
}

# mutant_apply NAME [OPTION]: the root has no patch program but busybox's.
mutant_apply() { (cd "$MUTANTS/tree" && busybox patch -p1 ${2:+"$2"} -i "$(mutant_patch "$1")"); }

# Finds what is wrong with the patch itself.
mutant_look() {
	local boot
	boot=$(mutant_boot "$1")
	if [ ! -e "$SRC/tests/vm/machines/$boot.sh" ] || [ -z "$boot" ]; then
		verdict "$1" unusable "it has no line \"Boot: SUITE\" that names a script of tests/vm/machines"
	elif ! mutant_apply "$1" --dry-run >"$MUTANTS/results/$1.patch.log" 2>&1; then
		verdict "$1" unusable "the patch no longer applies:"
		tail -n 5 "$MUTANTS/results/$1.patch.log" | sed 's/^/       | /'
	fi
}

mutant_module_build() {
	mkdir -p "$MUTANTS/module-$KERNEL"
	"${KERNEL}_make" -j"$JOBS" M="$MUTANTS/tree" MO="$MUTANTS/module-$KERNEL" modules
	"${CROSS}objcopy" --strip-debug "$MUTANTS/module-$KERNEL/$MODULE.ko" "$MUTANTS/$MODULE.ko"
}

# mutant_machine NAME SUITE: the machine, with the module in $MUTANTS.
mutant_machine() {
	local RESULTS=$MUTANTS/results/$1 watcher
	! mutant_is_sanitized "$2" || local VM_BEGIN=300 VM_MEMORY=2G
	mkdir -p "$RESULTS"
	VM_FILES=("$MUTANTS/$MODULE.ko") VM_TIMEOUT=$MUTANT_SECONDS
	rm -f "$BUILD/log/vm-$ARCH-$2.out"
	mutant_watch "$BUILD/log/vm-$ARCH-$2" &
	watcher=$!
	test_boot "$2" >"$RESULTS.boot.log" 2>&1
	kill "$watcher" 2>/dev/null || :
	wait "$watcher" 2>/dev/null || :
	if "$LAB/harness" "$RESULTS" "$SRC/tests/skips" >"$RESULTS.log"; then
		: >"$RESULTS.passed"
	fi
}

# One failure is enough: ends the machine whose files are called $1 soon after it.
mutant_watch() {
	until grep -qs '^not ok ' "$1.out"; do
		sleep 1
	done
	sleep 3
	kill "$(<"$1.pid")"
}

# The tests that failed in it, one a line. That a machine was ended after a failure
# is none.
mutant_failures() {
	local failures
	failures=$(mutant_failed "$1")
	grep -Ev '^machine: |: the results are cut short' <<<"$failures" || say "$failures"
}

mutant_failed() {
	sed -nE '
		/^  FAIL /{ s/^  FAIL [^ ]*\/([^ ]+) .*/\1/; h; b }
		/^       [^ ]/{ s/^       (not ok [0-9]+ *-? *)?/: /; G; s/^([^\n]*)\n(.*)$/\2\1/p }
		' "$MUTANTS/results/$1.log"
}

# Without a patch.
mutants_control() {
	local start=$SECONDS
	mutant_select "$1"
	mutant_fresh_tree
	step "build the module without a patch" mutants-build mutant_module_build
	mutant_machine "control-$1" "$1"
	if [ ! -e "$MUTANTS/results/control-$1.passed" ]; then
		cat "$MUTANTS/results/control-$1.log" >&2
		die "the tests \"$1\" fail without a patch, so they would say nothing of one." \
			"Get \`make test\` right first."
	fi
	say "  ok  without a patch the tests \"$1\" pass ($((SECONDS - start)) s)"
}

# Sets $MUTANTS/results/NAME.verdict.
mutant_try() {
	local name=$1 start=$SECONDS boot failures number rc
	say "  ... $name"
	boot=$(mutant_boot "$name")
	mutant_select "$boot"
	mutant_fresh_tree
	mutant_apply "$name" >/dev/null
	# Not as a condition, in which bash would ignore `set -e`.
	set +e
	(
		set -e
		mutant_module_build
	) >"$MUTANTS/results/$name.build.log" 2>&1 </dev/null
	rc=$?
	set -e
	if [ "$rc" -ne 0 ]; then
		verdict "$name" unusable "the module does not build with it:"
		grep -E -A12 '^error' "$MUTANTS/results/$name.build.log" | head -n 30 | sed 's/^/       | /' || :
		return
	fi
	mutant_machine "$name" "$boot"
	if [ -e "$MUTANTS/results/$name.passed" ]; then
		verdict "$name" survived "no test of \"$boot\" failed ($((SECONDS - start)) s)"
		return
	fi
	failures=$(mutant_failures "$name")
	number=$(grep -c . <<<"$failures" || :)
	verdict "$name" caught "in \"$boot\" ($((SECONDS - start)) s) by"
	head -n 4 <<<"$failures" | sed 's/^/       /'
	[ "$number" -le 4 ] || say "       and $((number - 4)) more (build/mutants/results/$name.log)"
}
