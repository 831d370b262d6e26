# SPDX-License-Identifier: GPL-2.0
#
# Segments for a PCI device: what its driver asks for counts, what the PCI core says for all does not.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
grep -qx 0x11e8 /sys/bus/pci/devices/*/device || skip_all "needs QEMU's edu device"
need_heaps
evidence=/run/lab/steps
plan 4

# ranges LONGEST: of a contiguous 1 MiB, for a driver that asks for that.
ranges() {
	insmod /lab/dma_buf_test_importer.ko edu_max_segment="$1" || return
	dmaheap-lab importer --edu --heap default_cma_region --size 1M attach map ranges >/run/lab/steps 2>&1
	rmmod dma_buf_test_importer
	grep -c '0x[0-9a-f]* .*iB$' /run/lab/steps
}

is "a driver that asks for any length gets one range" "$(ranges 4294967295)" 1
is "so does one that asks for nothing: 64 KiB are the PCI core's" "$(ranges 65536)" 1
is "one that asks for 128 KiB gets eight" "$(ranges 131072)" 8
is "one that asks for 32 KiB gets 32" "$(ranges 32768)" 32
finish
