# SPDX-License-Identifier: GPL-2.0
#
# The kernel log: from where on the lab checks it, and which of its lines a test provokes.

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

# Is $1 in the kernel log, after the line that mark_log has written?
mark_log() { echo "<5>lab: mark" >/dev/kmsg; }
logged() { dmesg | awk -v text="$1" '/lab: mark/ { seen = 0 } index($0, text) { seen = 1 } END { exit !seen }'; }

# expect_log NUMBER PATTERN: the test provokes this many kernel log lines that
# match PATTERN (an expression as Python has them) and one of tests/lab/log-patterns. "any" is for
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
