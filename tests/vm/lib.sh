# SPDX-License-Identifier: GPL-2.0
#
# For the scripts that run in a virtual machine: loading the module, and TAP.

MODULE=rust_dma_heap
# It is there in a kernel that looks for leaks.
KMEMLEAK=/sys/kernel/debug/kmemleak
# The same for one that checks how drivers use the DMA API.
DMA_API=/sys/kernel/debug/dma-api
[ -d /run/lab ] || mkdir -p /run/lab

# begin_log: the first call of a boot marks the place in the kernel log from where on
# the log check reads, and notes what the system looks like.
begin_log() {
	[ ! -e /run/lab/marked ] || return 0
	traces >/run/lab/before
	# What lies lost already is not ours.
	[ ! -e "$KMEMLEAK" ] || echo clear >"$KMEMLEAK"
	# Else it reports one mistake and no other.
	[ ! -e "$DMA_API" ] || echo 1 >"$DMA_API/all_errors"
	echo "<5>lab: the log check begins here" >/dev/kmsg
	: >/run/lab/marked
}

# load_module [PARAMETER=VALUE...]: with pool_cap in the environment the heaps keep
# that many bytes at most.
load_module() {
	begin_log
	insmod "/lab/$MODULE.ko" "$@" || return
	[ -z "${pool_cap:-}" ] || for heap in $(own_heaps); do
		echo "$pool_cap" >"$(heap_dir "$heap")/pool_cap" || return
	done
}

# load_stock_importers [PARAMETER=VALUE...]: the stock kernel's drivers that import
# dma-bufs: of vivid, one device for each of its allocators, with a camera as the only
# input, and what else PARAMETERs say.
load_stock_importers() {
	# No console on the screen: the kernel warns when a busy host lets it miss a
	# picture. The parameter is read when this is loaded, and vgem would load it.
	modprobe drm_kms_helper fbdev_emulation=0
	modprobe vgem
	modprobe bochs
	modprobe vivid n_devs=2 allocators=0,1 node_types=1,1 num_inputs=1,1 input_types=0,0 "$@"
}

# load_c_heaps: those of the kernel's own heaps that it does not have built in.
load_c_heaps() {
	for module in dma-heap system_heap cma_heap; do
		[ ! -e "/lab/$module.ko" ] || insmod "/lab/$module.ko" || return
	done
}

# Every place where a module could leave something behind.
traces() {
	for file in /proc/devices /proc/misc; do
		sed "s|^|$file: |" "$file"
	done
	for dir in /sys/class /sys/module /sys/devices/virtual /sys/kernel/debug /dev /dev/dma_heap; do
		ls -1 "$dir" 2>/dev/null | sed "s|^|$dir/|"
	done
}

# leaves_nothing TEXT: a test that nothing is there now that was not there
# before the first load.
leaves_nothing() {
	# An empty folder that devtmpfs made for a node goes with the node.
	traces >/run/lab/after
	difference=$(diff /run/lab/before /run/lab/after | grep '^[-+][^-+]')
	is "$1" "$difference" ""
}

# Is $1 in the kernel log, after the line that mark_log has written?
mark_log() { echo "<5>lab: mark" >/dev/kmsg; }
logged() { dmesg | awk -v text="$1" '/lab: mark/ { seen = 0 } index($0, text) { seen = 1 } END { exit !seen }'; }

# Our heaps' names, on this machine.
own_heaps() { ls -1 /sys/class/rust_dma_heap /sys/class/dma_heap 2>/dev/null | while read -r heap; do
	node=$(heap_dir "$heap") && [ -e "$node/pool_cap" ] && echo "$heap"
done; }

# The sysfs folder of the heap $1, found from its node as a program would.
heap_dir() {
	[ -c "/dev/dma_heap/$1" ] || return 1
	numbers=$(stat -c '%t %T' "/dev/dma_heap/$1")
	echo "/sys/dev/char/$((0x${numbers% *})):$((0x${numbers#* }))"
}

# used_up_to HEAP BYTES: waits for buffers that were closed. One is gone with its last
# reference, which the kernel may drop a moment later.
used_up_to() {
	for _ in $(seq 50); do
		[ "$(cat "$(heap_dir "$1")/used")" -gt "$2" ] || return 0
		usleep 100000
	done
	return 1
}

# hold HEAP SIZE: has a process hold such a buffer, and sets holder. Fails if it gets
# none. What it says is in /run/lab/alloc.
hold() {
	# What an earlier one has said is no sign of this one.
	rm -f /run/lab/alloc
	dmaheap alloc "$1" "$2" --hold 600s >/run/lab/alloc 2>&1 &
	holder=$!
	for _ in $(seq 300); do
		[ ! -s /run/lab/alloc ] || break
		usleep 100000
	done
	[ "$(ls -l /proc/$holder/fd | grep -c '/dmabuf:')" -eq 1 ]
}

# release PROCESS...: kills who holds a buffer, and waits for its end.
release() {
	kill -KILL "$@"
	wait "$@" 2>/dev/null
}

as_nobody() { su nobody -s /bin/sh -c "$1"; }

unload_module() { rmmod "$MODULE"; }

loaded() { grep -q "^$MODULE " /proc/modules; }

# expect_log NUMBER PATTERN: the test provokes this many kernel log lines that
# match PATTERN (a Perl expression) and one of tests/lab/log-patterns. "any" is for
# a test that cannot know.
expect_log() { echo "<5>lab: expect $1 $2" >/dev/kmsg; }

# expect_fault [NUMBER]: the tests of edu that follow let the device write once, or so
# often, to where nothing is mapped. An IOMMU, where there is one, reports that in these
# lines.
expect_fault() {
	case $(ls /sys/class/iommu) in
	dmar*)
		expect_log "${1:-1}" '^DMAR: DRHD: handling fault status reg 2$'
		expect_log "${1:-1}" '^DMAR: \[DMA Write NO_PASID\] Request device .* fault addr 0x.* PTE Write access is not set$'
		;;
	smmu3*)
		expect_log "${1:-1}" '^arm-smmu-v3 .*: event 0x10 received:$'
		expect_log "${1:-1}" '^arm-smmu-v3 .* data write .* "Input address caused fault"'
		;;
	esac
}

# expect_faults_of_edu: what all tests of dmaheap-kselftest that have edu write so
# provoke. They look for the reports themselves; how many transfers one of them needs
# is a matter of when they come.
expect_faults_of_edu() {
	expect_fault 2
	expect_fault any
}

# expect_dma_api NUMBER TEXT FUNCTION: a kernel that checks the DMA API says this,
# with all that belongs to a warning.
expect_dma_api() {
	[ -e "$DMA_API" ] || return 0
	expect_log "$1" '^------------\[ cut here \]------------$'
	expect_log "$1" "^DMA-API: $2"
	expect_log "$1" "^WARNING: at $3\\+"
	expect_log "$1" '^Call Trace:$'
}

# expect_overlaps NUMBER: the first test of the importer that follows has a buffer
# mapped for more devices than such a kernel takes for granted. It says so once,
# although that is what a dma-buf is for.
expect_overlaps() {
	expect_dma_api "$1" 'exceeded 7 overlapping mappings of cacheline ' add_dma_entry
}

# expect_vivid_segments: vivid's driver does not say how long a segment its devices
# take, and what they get is longer than the 64 KiB that such a kernel then assumes:
# for each of the three buffers of the test that has it capture contiguous ones.
expect_vivid_segments() {
	expect_dma_api 3 'vivid .*: mapping sg segment longer than device claims' debug_dma_map_sg
}

# TAP. A script calls plan first, then ok or skip as often as it promised.

plan() {
	echo "TAP version 13"
	echo "1..$1"
	count=0
	failures=0
}

diag() { printf '%s\n' "$*" | sed 's/^/# /'; }

# ok STATUS TEXT: STATUS is 0 for a success, as $? has it.
ok() {
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		failures=$((failures + 1))
	fi
}

# is TEXT GOT WANTED
is() {
	if [ "$2" = "$3" ]; then
		ok 0 "$1"
	else
		ok 1 "$1"
		diag "got:    $2"
		diag "wanted: $3"
	fi
}

# at_least TEXT GOT LEAST: the same for numbers.
at_least() {
	if [ "$2" -ge "$3" ]; then
		ok 0 "$1"
	else
		ok 1 "$1"
		diag "got:    $2"
		diag "wanted: $3 or more"
	fi
}

skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# To be the last line of a script: its status is that of a kselftest.
finish() { [ "$failures" -eq 0 ]; }

# run_test NAME TIMEOUT COMMAND...: puts the output of COMMAND between two lines
# by which the lab cuts it out again, with its status. On a slow machine, where
# DMAHEAP_PATIENCE is a number, it may take that many times as long.
run_test() {
	echo "### begin $1"
	test_name=$1
	test_time=$(($2 * ${DMAHEAP_PATIENCE:-1}))
	shift 2
	timeout -s KILL "$test_time" "$@"
	printf '\n### end %s %s\n' "$test_name" "$?"
}
