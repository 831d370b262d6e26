# SPDX-License-Identifier: GPL-2.0
#
# importer-steps.sh [HEAP]: what the steps of dmaheap-lab importer do to buffers of our heap.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
heap=${1:-$(own_heaps | grep system)}
counters=/sys/kernel/debug/$MODULE/$heap
plan 26
evidence="/run/lab/steps /run/lab/errors"
: >/run/lab/steps
: >/run/lab/errors

# One that is kept serves all maps, but where every device bounces none is.
mappings=1
! grep -q 'swiotlb=[^ ]*force' /proc/cmdline || mappings=3

# importer [OPTION | STEP]...: its output lies in /run/lab/steps afterwards,
# what it says beside that in /run/lab/errors.
importer() { dmaheap-lab importer --heap "$heap" --size 256K "$@" >/run/lab/steps 2>/run/lab/errors; }

# result STEP: the column RESULT of a step that was done.
result() { awk -v step="$1" '$1 == step { $1 = $2 = $3 = ""; sub("^ *", ""); print }' /run/lab/steps; }

# counted NAME STEP...: by how much the steps raise a counter.
counted() {
	counter=$counters/$1
	shift
	before=$(cat "$counter")
	importer "$@" || return
	echo $(($(cat "$counter") - before))
}

# refused TEXT PATTERN STEP...: a test that the last step fails with status 1
# and that the advice matches PATTERN.
refused() {
	text=$1
	pattern=$2
	shift 2
	importer "$@"
	[ $? -eq 1 ] && grep -q -e "$pattern" /run/lab/errors
	ok $? "$text"
}

refused "without the importer module it says what to load" "insmod dma_buf_test_importer.ko" attach
insmod /lab/dma_buf_test_importer.ko
ok $? "the importer module loads"

importer cpu-write=5:3:0xa5 attach map=to-device read=4:5
ok $? "steps are done"
is "a device reads what the CPU has written" "$(result read=4:5)" "00 a5 a5 a5 00"
importer attach map=from-device write=64K:2:0x5a unmap cpu-read=65535:4
is "the CPU reads what a device has written" "$(result cpu-read=65535:4)" "00 5a 5a 00"
importer vmap begin write=0:2:7 end vunmap cpu-read=0:3
is "the CPU reads what the kernel has written" "$(result cpu-read=0:3)" "07 07 00"
importer attach attach map@1=to-device map@2 write@4=0:1:9 begin end read@3=0:2
is "a step takes the object that it names" "$(result read@3=0:2)" "09 00"
importer cpu-write=0:20:1 attach map read=0:20
is "long contents are cut" "$(result read=0:20)" \
	"01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 and 4 more (--json has all)"
importer --max-segment 64K attach map ranges
is "ranges are as long as the device takes" "$(grep -c '0x[0-9a-f]* 64 KiB$' /run/lab/steps)" 4

is "three maps are counted" "$(counted maps attach map unmap map unmap map)" 3
is "which take as many DMA mappings as they should" \
	"$(counted mappings attach map unmap map unmap map)" $mappings
is "two attachments are counted" "$(counted attaches attach detach attach)" 2
is "vmaps one after the other are counted" "$(counted vmaps vmap vunmap vmap)" 2
is "timed maps are made: the first, and ten, on each of two attachments" \
	"$(counted maps time-maps=10:2)" 22

# mapped_by_kernel: how many ranges of addresses the kernel has for buffers of the module.
mapped_by_kernel() { grep -c "\[$MODULE\] .*vmap" /proc/vmallocinfo; }
before=$(cat "$counters/vmaps")
dmaheap-lab importer --heap "$heap" --size 256K vmap wait=600s >/dev/null 2>&1 &
holder=$!
for _ in $(seq 100); do
	[ "$(cat "$counters/vmaps")" -eq "$before" ] || break
	usleep 100000
done
case $heap:$(grep HighTotal /proc/meminfo) in
system*) is "a vmap of several blocks takes addresses" "$(mapped_by_kernel)" 1 ;;
# The area lies in memory that a 32-bit kernel has not mapped.
*:HighTotal:*[1-9]*) is "a vmap of high memory takes addresses" "$(mapped_by_kernel)" 1 ;;
*) is "a vmap of one block takes none" "$(mapped_by_kernel)" 0 ;;
esac
release $holder
used_up_to "$heap" 0
is "none are taken when it is gone" "$(mapped_by_kernel)" 0

refused "a second direction" "unmap that first" attach map=to-device map=from-device
refused "a device without DMA" "without DMA mask" --mask=0 attach map
refused "bytes outside of the buffer" "which has 262144" attach map read=256K:1
refused "no mapping yet" "\`map\` makes one" attach unmap
refused "no edu device" "-device edu" --edu=9 attach

# What is done before a step that fails, and after it.
printf '# comment\n\nattach\nmop\nvmap\n' | importer
is "a mistake on standard input ends it" "$?:$(tail -n 1 /run/lab/steps)" \
	"1:$(grep '^attach ' /run/lab/steps)"
printf 'attach\nmop\nvmap\n' | importer --keep-going
is "unless it is told to go on" "$?:$(result vmap)" "1:vmap 2"
importer --json attach map read=0:2
is "JSON has a line for each step" "$(sed -n '5s/"nanoseconds":[0-9]*/N/p' /run/lab/steps)" \
	'{"step":"read=0:2",N,"bytes":"0000"}'

# A buffer that another process holds.
hold "$heap" 64K
fd=$(sed -n 's/^fd=\([0-9]*\) .*/\1/p' /run/lab/alloc)
for byte in 3 4; do
	dmaheap-lab importer --fd "$holder:$fd" cpu-read=0:1 attach map write=0:1:$byte unmap
done >/run/lab/steps 2>/run/lab/errors
release $holder
is "a buffer of another process is the same one" "$(result cpu-read=0:1 | tail -n 1)" 03

rmmod dma_buf_test_importer
ok $? "the importer module unloads"
finish
