# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make bench: measures our heaps against the kernel's own, in machines with two
# processors each and then, to count instructions, with one.
#
# make bench-maps: measures how long a device takes to map and unmap a buffer of
# either, in machines that differ in what stands before the device.

lab_bench() {
	bench_prepare "${1:-amd64}"
	bench_boots bench time control count-1 count-2
}

lab_bench-maps() {
	bench_prepare "${1:-amd64}"
	case $ARCH in
	amd64) bench_boots bench-maps maps-intel-strict maps-intel-lazy maps-plain maps-bounce ;;
	arm64) bench_boots bench-maps maps-smmuv3-strict maps-plain ;;
	esac
}

bench_prepare() {
	local heaps
	prepare "$1"
	prepare_c_heaps
	mapfile -t heaps < <(c_heaps)
	prepare_initramfs "${heaps[@]}"
}

# bench_boots NAME KIND...: boots a machine of each kind and puts what they have
# measured into build/NAME.json and build/NAME.svg.
bench_boots() {
	local name=$1 kind files=()
	shift
	for kind; do
		bench_boot "$kind"
		files+=("$BUILD/log/bench-$ARCH-$kind.json")
	done
	say ""
	bench_report "$name" "${files[@]}"
	say ""
	say "All of it: build/$name.json, build/$name.svg"
}

# What a boot is for, for people.
bench_title() {
	case $1 in
	time) say "heaps side by side" ;;
	control) say "the kernel's heaps without the module" ;;
	count-*) say "heaps side by side, instructions counted (${1#count-} of 2)" ;;
	maps-intel-*) say "maps behind an Intel IOMMU, ${1##*-}" ;;
	maps-smmuv3-*) say "maps behind an SMMUv3, ${1##*-}" ;;
	maps-plain) say "maps without an IOMMU" ;;
	maps-bounce) say "maps to bounce buffers" ;;
	esac
}

# What the kernel is told.
bench_append() {
	case $1 in
	maps-intel-strict) say "cma=256M intel_iommu=on iommu.strict=1" ;;
	maps-intel-lazy) say "cma=256M intel_iommu=on iommu.strict=0" ;;
	maps-smmuv3-strict) say "cma=256M iommu.strict=1" ;;
	# 128 MiB: room for the largest buffer.
	maps-bounce) say "cma=256M swiotlb=65536,force" ;;
	# Room for the pipeline's frames, and for buffers of both heaps.
	*) say "cma=256M" ;;
	esac
}

# What QEMU is told beside the usual, one word a line.
bench_machine() {
	case $1 in
	# Before the devices that it is to translate for.
	maps-intel-*) printf '%s\n' -machine q35,kernel-irqchip=split -device intel-iommu,intremap=on ;;
	maps-smmuv3-*) printf '%s\n' -machine virt,iommu=smmuv3 ;;
	esac
	case $1 in
	# It reaches all of the memory.
	maps-*) printf '%s\n' -device edu,dma_mask=0xffffffffffffffff ;;
	esac
}

# bench_log KIND CONSOLE: the kernel log that is to be without complaints.
bench_log() {
	case $1 in
	# What the C heaps' segments provoke is in the results, and how many of their
	# buffers have such segments is chance.
	maps-bounce) grep -v 'swiotlb buffer is full' "$2" ;;
	*) cat "$2" ;;
	esac
}

# bench_boot KIND: boots a machine for it. Leaves bench-ARCH-KIND.json in
# $BUILD/log.
bench_boot() {
	local kind=$1 name=bench-$ARCH-$1 job=$BUILD/log/bench-job start=$SECONDS
	local VM_MEMORY=2G VM_COUNTS='' machine config
	# To fragment a smaller memory takes fewer instructions.
	[[ $kind != count-* ]] || { VM_MEMORY=1G VM_COUNTS=1; }
	mapfile -t machine < <(bench_machine "$kind")
	vm_accel
	config="QEMU ${MACHINE[*]} ${ACCEL[*]}${machine[*]:+ ${machine[*]}}"
	say "  ... boot $ARCH: $(bench_title "$kind")"
	printf 'exec sh /lab/machines/bench.sh %q %q\n' "${kind%-[0-9]}" "$config" >"$job"
	if ! vm_run "$name" 600 "$job" "$(bench_append "$kind")" "${machine[@]}"; then
		cat "$BUILD/log/vm-$name.out" >&2
		die "the machine $name could not measure; its kernel log is build/log/vm-$name.console."
	fi
	if [ "$kind" != control ]; then
		"$LAB/log-check" <(bench_log "$kind" "$BUILD/log/vm-$name.console") >"$BUILD/log/$name.tap" || {
			cat "$BUILD/log/$name.tap" >&2
			die "the kernel complained while $name measured."
		}
	fi
	mv "$BUILD/log/vm-$name.out" "$BUILD/log/$name.json"
	say "  ok  boot $ARCH: $(bench_title "$kind") ($((SECONDS - start)) s)"
}

# bench_report NAME FILE...: the report is made on this side, whatever was
# measured.
bench_report() {
	local name=$1
	shift
	if [ "$ARCH" != amd64 ]; then
		(
			arch_select amd64
			step "build the programs for amd64" tools-amd64 tools_build
		)
	fi
	"$BUILD/amd64/dmaheap" bench-report --json "$BUILD/$name.json" --svg "$BUILD/$name.svg" "$@" |
		tee "$BUILD/log/$name.txt"
}
