# SPDX-License-Identifier: GPL-2.0
#
# Everything that is tested in an ordinary boot, in one machine. A script that
# has more for its machine may set importer_parameters and only_ours, and
# reads this one.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

# test_in_vm NAME [ARGUMENT...]: the script NAME.sh.
test_in_vm() {
	name=$1
	shift
	run_test "$name" 300 sh "/lab/tests/$name.sh" "$@"
}

heaps=$(usual_heaps)

# It is emulated slowly: some tests take minutes where the host has other work.
[ "$(uname -m)" != armv7l ] || export DMAHEAP_PATIENCE=3

# They stay to the end, so they belong to what the system looks like without our
# module.
load_stock_importers
load_block_device

test_in_vm without-module
test_in_vm module-parameters
test_in_vm memory-cgroup "${heaps% *}"
test_in_vm load-refused
test_in_vm carveout
load_module
# shellcheck disable=SC2086 # names, one a word
test_in_vm heap-names $heaps
test_in_vm verify
# shellcheck disable=SC2086 # names, one a word
test_in_vm verify-importer ${only_ours:+$heaps}
for heap in $heaps; do
	run_test "importer-steps-$heap" 300 sh /lab/tests/importer-steps.sh "$heap"
done
test_in_vm attributes
test_in_vm attributes-bad-input
test_in_vm tracepoints
test_in_vm observing
test_in_vm json
test_in_vm bench-alone
# shellcheck disable=SC2086 # words
test_in_vm documents ${importer_parameters:-}
# shellcheck disable=SC2086 # words
insmod /lab/dma_buf_test_importer.ko ${importer_parameters:-}
expect_overlaps 1
expect_vivid_segments
# Where every device bounces, a test uses all of that up.
! grep -q 'swiotlb=[^ ]*force' /proc/cmdline || expect_log any 'swiotlb buffer is full'
for heap in $heaps; do
	expect_faults_of_edu
	run_test "kselftest-$heap" 600 dmaheap-kselftest "$heap"
	if [ -e /lab/dmaheap-kselftest-i386 ]; then
		expect_faults_of_edu
		run_test "kselftest-i386-$heap" 600 dmaheap-kselftest-i386 "$heap"
	fi
done
rmmod dma_buf_test_importer
run_test selftest 300 dmabuf-heap
if [ -e /lab/dmabuf-heap-i386 ]; then
	run_test selftest-i386 300 dmabuf-heap-i386
fi
test_in_vm unload-refused
# Some of its loads keep memory warm, the others do not.
# The kernel that looks for leaks releases what the module had seconds later, each time.
reload_time=300
[ ! -e "$KMEMLEAK" ] || reload_time=1500
[ -n "${pool_cap:-}" ] || run_test reload "$reload_time" sh /lab/tests/reload.sh
