# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make bench: measures our heaps against the kernel's own, in machines with two
# processors each and then, to count instructions, with one.

lab_bench() {
	local kinds=(time control count-1 count-2) kind heaps files=()
	prepare "${1:-amd64}"
	prepare_c_heaps
	mapfile -t heaps < <(c_heaps)
	prepare_initramfs "${heaps[@]}"
	for kind in "${kinds[@]}"; do
		bench_boot "$kind"
		files+=("$BUILD/log/bench-$ARCH-$kind.json")
	done
	say ""
	bench_report "${files[@]}"
	say ""
	say "All of it: build/bench.json, build/bench.svg"
}

# What a boot is for, for people.
bench_title() {
	case $1 in
	time) say "heaps side by side" ;;
	control) say "the kernel's heaps without the module" ;;
	count-*) say "heaps side by side, instructions counted (${1#count-} of 2)" ;;
	esac
}

# bench_boot KIND: boots a machine for it. Leaves bench-ARCH-KIND.json in
# $BUILD/log.
bench_boot() {
	local kind=$1 name=bench-$ARCH-$1 job=$BUILD/log/bench-job start=$SECONDS
	local VM_MEMORY=2G VM_COUNTS=
	# To fragment a smaller memory takes fewer instructions.
	[[ $kind != count-* ]] || { VM_MEMORY=1G VM_COUNTS=1; }
	vm_accel
	say "  ... boot $ARCH: $(bench_title "$kind")"
	printf 'exec sh /lab/bench.sh %q %q\n' "${kind%-[0-9]}" "QEMU ${MACHINE[*]} ${ACCEL[*]}" >"$job"
	# Room for the pipeline's frames, and for buffers of both heaps.
	if ! vm_run "$name" 600 "$job" cma=256M; then
		cat "$BUILD/log/vm-$name.out" >&2
		die "the machine $name could not measure; its kernel log is build/log/vm-$name.console."
	fi
	if [ "$kind" != control ]; then
		"$LAB/log-check" "$BUILD/log/vm-$name.console" >"$BUILD/log/$name.tap" || {
			cat "$BUILD/log/$name.tap" >&2
			die "the kernel complained while $name measured."
		}
	fi
	mv "$BUILD/log/vm-$name.out" "$BUILD/log/$name.json"
	say "  ok  boot $ARCH: $(bench_title "$kind") ($((SECONDS - start)) s)"
}

# The report is made on this side, whatever was measured.
bench_report() {
	if [ "$ARCH" != amd64 ]; then
		(
			arch_select amd64
			step "build the programs for amd64" tools-amd64 tools_build
		)
	fi
	"$BUILD/amd64/dmaheap" bench-report --json "$BUILD/bench.json" --svg "$BUILD/bench.svg" "$@" |
		tee "$BUILD/log/bench.txt"
}
