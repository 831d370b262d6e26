# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make test: prepares everything, runs all tests, and counts them. Every test leaves a file of TAP in build/test.

RESULTS=$BUILD/test

lab_test() {
	rm -rf "$RESULTS"
	mkdir -p "$RESULTS"
	[ -z "${KVER:-}" ] || say "  KVER=$KVER: this is not the default run"

	lists_refresh
	# Two processors, two lanes. Compiling goes on in one while the other fetches
	# something, and in what time the machines leave.
	(
		arch_select arm64
		prepare_tools
		test_prepare_arch arm64
		test_initramfs
		test_boots suite suite-zeroing suite-c-heaps suite-device-tree
	) &
	(
		test_prepare_arch amd64
		prepare_tools
		test_prepare_i386
		test_on_uml &
		test_boots suite suite-zeroing suite-c-heaps suite-bounce suite-nocma suite-nodes suite-limits
		test_on_host
		wait_all 1
	) &
	wait_all 2

	results
}

test_boots() {
	local suite
	for suite; do
		test_boot "$suite"
	done
}

# boot ARCH SUITE: prepares and tests one machine of those that `make test` boots.
lab_boot() {
	arch_select "$1"
	rm -rf "$RESULTS"
	mkdir -p "$RESULTS"
	lists_refresh
	test_prepare_one "$ARCH"
	test_boot "${2:-suite}"
	results
}

results() {
	say ""
	say "Results:"
	"$LAB/harness" "$RESULTS" "$SRC/tests/skips"
}

# What a machine of $1 needs but for the programs.
test_prepare_arch() {
	arch_select "$1"
	prepare_choose
	prepare_kernel
	prepare_stock_tests
	prepare_module
	prepare_c_heaps
}

# All of it, for one machine.
test_prepare_one() {
	test_prepare_arch "$1"
	prepare_tools
	if [ "$ARCH" = amd64 ]; then
		test_prepare_i386
	else
		test_initramfs
	fi
}

# The i386 programs, and the initramfs of amd64, where they run as well.
test_prepare_i386() {
	step "build the kernel's selftest for i386" selftest-i386 \
		selftest_build i686-linux-gnu-gcc-14 "$BUILD/amd64/$SELFTEST-i386"
	step "build the test program for i386" tools-i386 tools_build_i386
	test_initramfs "$BUILD/amd64"/{dmaheap-kselftest,"$SELFTEST"}-i386
}

# test_initramfs [FILE...]: FILEs beside what all machines of the tests need.
test_initramfs() {
	local heaps
	mapfile -t heaps < <(c_heaps)
	prepare_initramfs "${heaps[@]}" "$OUT/$SELFTEST" "$(stock_modules_dir)" "$@"
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
	result cargo "$LAB/cargo-tap" --workspace --exclude camera-to-screen --exclude picture
}

# What the kernel with sanitizers wants to be told. With five levels of page tables
# KASAN complains of an interrupt that comes while the kernel looks at its first
# processor; and after a report it would be silent. After an oops nothing that it
# says means anything, and tasks that hang will not go on.
SANITIZERS_APPEND="no5lvl kasan_multi_shot page_owner=on page_poison=1 oops=panic hung_task_panic=1"

# The kernel command line of a suite's machine.
test_append() {
	case $1 in
	sanitize-nodes) say "$SANITIZERS_APPEND $(test_append suite-nodes)" ;;
	sanitize-kunit) say "$SANITIZERS_APPEND kunit.enable=1 kunit.autorun=1 $APPEND" ;;
	# It frees 20 GiB, which this would fill and look at, page by page. The other
	# machines have it.
	sanitize-adversary) say "$(test_append sanitize-) page_poison=off" ;;
	sanitize-soak) say "memhp_default_state=online_movable $(test_append sanitize-)" ;;
	sanitize-*) say "$SANITIZERS_APPEND $(test_append suite-iommu-strict)" ;;
	suite-nocma | suite-device-tree) ;;
	suite-limits) say "cma=320M" ;;
	# Either heap shall have room for the kernel's selftest, which takes 32 MiB.
	suite-built-in) say "cma=128M rust_dma_heap.carveout_mib=48" ;;
	suite-zeroing) say "$APPEND init_on_alloc=0" ;;
	suite-bounce) say "$APPEND swiotlb=force,track_hiwater" ;;
	# Else the kernel would put pages there that cannot leave.
	suite-nodes) say "$APPEND memhp_default_state=online_movable" ;;
	# Of the kernel's own accord Intel's stays off, and what arm64's does is a
	# matter of its configuration.
	suite-iommu*) say "$APPEND intel_iommu=on iommu.passthrough=0 iommu.strict=$(test_is_strict "$1")" ;;
	# 64 MiB, in slots of 2 KiB.
	suite-swiotlb) say "$APPEND swiotlb=32768,force,track_hiwater" ;;
	suite-mask) say "$APPEND swiotlb=32768,track_hiwater" ;;
	*) say "$APPEND" ;;
	esac
}

test_is_strict() {
	case $1 in
	*-lazy) say 0 ;;
	*) say 1 ;;
	esac
}

# What QEMU is told beside the usual, in words, for a suite's machine on $ARCH.
test_machine() {
	case $1 in
	suite | suite-in-tree | suite-built-in | suite-iommu* | suite-swiotlb | sanitize-*) say -device edu,dma_mask=0xffffffffffffffff ;;
	esac
	case $ARCH-$1 in
	amd64-suite-iommu* | amd64-sanitize-*) say -machine kernel-irqchip=split -device intel-iommu,intremap=on ;;
	arm64-suite-iommu*) say -machine iommu=smmuv3 ;;
	arm64-suite-device-tree) say -dtb "$(test_device_tree)" ;;
	esac
	case $1 in
	# Of 3 GiB, QEMU puts one above the first 4 GiB of addresses, and memory is
	# taken from above first.
	suite-mask) say -m 3G -device edu,dma_mask=0xffffffff ;;
	# QEMU finds the buffers of the guest in a file of its memory.
	suite-virtio-gpu)
		say -object memory-backend-memfd,id=memory,size=1G -machine memory-backend=memory \
			-device virtio-gpu-pci,blob=true
		;;
	# Two NUMA nodes, each with a processor (of its own socket, as the kernel
	# wants it); the second has memory that can be taken out.
	suite-nodes)
		say -m 1G,slots=1,maxmem=2G -smp 2,sockets=2 \
			-object memory-backend-ram,id=one,size=512M -object memory-backend-ram,id=two,size=512M \
			-numa node,memdev=one,cpus=0 -numa node,memdev=two,cpus=1 \
			-object memory-backend-ram,id=removable,size=256M -device pc-dimm,memdev=removable,node=1
		;;
	# Some tests fill it, which takes long; the checks need a share for themselves,
	# and with little memory the kernel has the CMA area full of its own.
	sanitize-suite*) say -m 1G ;;
	sanitize-nodes)
		say -m 2G,slots=1,maxmem=4G -smp 2,sockets=2 \
			-object memory-backend-ram,id=one,size=1G -object memory-backend-ram,id=two,size=1G \
			-numa node,memdev=one,cpus=0 -numa node,memdev=two,cpus=1 \
			-object memory-backend-ram,id=removable,size=256M -device pc-dimm,memdev=removable,node=1
		;;
	# Memory that can be taken out, and not more than can be used up soon.
	sanitize-soak)
		say -m 1536M,slots=1,maxmem=4G \
			-object memory-backend-ram,id=removable,size=256M -device pc-dimm,memdev=removable
		;;
	esac
}

# Makes the device tree of QEMU's machine with what tests/vm/machines/suite-device-tree.dts adds to
# it, and says where it is. The compiler is the one that the kernel's build has made.
test_device_tree() {
	local tree=$BUILD/test-$LABEL dtc
	dtc=$(kernel_dir)/o/scripts/dtc/dtc
	"$QEMU" "${MACHINE[@]}" -smp 2 -m "${VM_MEMORY:-$MEMORY}" -display none -machine "dumpdtb=$tree.dtb" >&2
	{
		"$dtc" -q -I dtb -O dts "$tree.dtb"
		cat "$SRC/tests/vm/machines/suite-device-tree.dts"
	} >"$tree.dts"
	"$dtc" -q -I dts -O dtb -o "$tree.dtb" "$tree.dts"
	say "$tree.dtb"
}

# What this machine lacks for a suite's machine, if anything.
test_missing() {
	[ "$1" != suite-virtio-gpu ] || [ -c /dev/udmabuf ] ||
		say "needs /dev/udmabuf on the machine that runs QEMU"
}

# Boots $LABEL and runs tests/vm/machines/$1.sh there; cuts its output into TAP files.
test_boot() {
	local suite=$1 name=$LABEL-$1 boot=vm_run status=0 start=$SECONDS machine missing files
	missing=$(test_missing "$suite")
	if [ -n "$missing" ]; then
		say "  --  boot $LABEL for the tests \"$suite\": $missing"
		result "$name/machine" printf 'TAP version 13\n1..0 # SKIP %s\n' "$missing"
		return
	fi
	# shellcheck disable=SC2207 # words without a blank or pattern in them
	machine=($(test_machine "$suite"))
	say "  ... boot $LABEL for the tests \"$suite\""
	case $suite in
	debian-*) boot=debian_boot ;;
	# It has one of the rules' commands run.
	suite-limits | suite-device-tree)
		files=("${VM_FILES[@]}" "$SRC/tools/udev/60-rust-dma-heap.rules")
		local VM_FILES=("${files[@]}")
		;;
	esac
	"$boot" "$name" "${VM_TIMEOUT:-900}" "$SRC/tests/vm/machines/$suite.sh" \
		"$(test_append "$suite")" "${machine[@]}" || status=$?
	"$LAB/results-split" "$BUILD/log/vm-$name.out" "$RESULTS/$name" "$status"
	result "$name/kernel-log" "$LAB/log-check" "$BUILD/log/vm-$name.console"
	say "  ok  boot $LABEL for the tests \"$suite\" ($((SECONDS - start)) s)"
}

# What runs in User-mode Linux, on $ARCH amd64, at a low priority.
test_on_uml() {
	renice -n 19 -p "$BASHPID" >/dev/null
	step "build the User-mode Linux kernel" uml-build uml_build
	step "build the module for User-mode Linux" module-um uml_module
	test_kunit
}

# The KUnit tests print their results into the kernel log.
test_kunit() {
	local status=0 start=$SECONDS log=$BUILD/log/kunit.console
	say "  ... KUnit in User-mode Linux"
	uml_kunit "$log" || status=$?
	"$LAB/kunit-split" "$log" "$RESULTS/kunit" "$status"
	result kunit/kernel-log "$LAB/log-check" "$log"
	say "  ok  KUnit in User-mode Linux ($((SECONDS - start)) s)"
}
