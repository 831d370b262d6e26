# SPDX-License-Identifier: GPL-2.0
#
# camera-to-screen.sh HEAP CAMERA PATTERN PICTURE: shows 60 frames of CAMERA on the screen, in
# buffers of HEAP, and lets the lab take a picture of the last one. The example that
# does it maps no buffer.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
# shellcheck source=tests/vm/lib/port.sh
. /lab/lib/port.sh
[ -n "$(port lab.go)" ] || skip_all "nobody takes pictures of the screen: make demo-video does"
need_heaps
heap=$1
camera=$2
pattern=$3
picture=$4
counters=/sys/kernel/debug/$MODULE/$heap
buffers=6
plan 11
evidence=/run/lab/video

# How a counter has risen since `start`.
start() {
	for name in allocations attaches maps vmaps mmaps cpu_accesses; do
		cat "$counters/$name" >"/run/lab/$name"
	done
}
counted() { echo $(($(cat "$counters/$1") - $(cat "/run/lab/$1"))); }

# The number that stands before the word $1 in the program's report.
number() { sed -nE "s/^(.*[^0-9])?([0-9]+) $1.*/\\2/p" /run/lab/video; }

# A camera that has a DMA mapping of each buffer, or only a vmap.
case $(cut -d, -f $((${camera#/dev/video} + 1)) /sys/module/vivid/parameters/allocators) in
1) dma=1 ;;
*) dma=0 ;;
esac

used=$(cat "$(heap_dir "$heap")/used")
start
rm -f /run/lab/video
# Its last frame stays until the lab has its picture, which it says on the port. No
# text is written over the bars, and a frame is dated by its beginning, when this
# camera already has it.
camera-to-screen --heap "$heap" --camera "$camera" --frames 60 --size 640x480 \
	--buffers $buffers --patience $((10 * ${DMAHEAP_PATIENCE:-1})) \
	--control "test_pattern=$pattern" --control osd_text_mode=2 --control timestamp_source=1 \
	--wait <"$(port lab.go)" >/run/lab/video 2>&1 &
pid=$!
while [ -d /proc/$pid ] && ! grep -qs 'stays until' /run/lab/video; do
	usleep 100000
done
maps=$(grep -c dmabuf /proc/$pid/maps)
descriptors=$(ls -l /proc/$pid/fd | grep -c dmabuf)
echo "# screendump $picture"
wait $pid
ok $? "frames of a camera are shown on a screen"
is "all 60 frames came" "$(number 'frames in')" 60
shown=$(number shown)
at_least "most of them were shown" "${shown:-0}" 30
is "as many buffers were allocated as the pipeline has" "$(counted allocations)" $buffers
is "the program mapped none: its count of mmap calls" "$(counted mmaps)" 0
is "... and its address space says so, while it had all of them open" \
	"$maps of $descriptors" "0 of $buffers"
is "the camera and the screen have attached each buffer" "$(counted attaches)" $((buffers * (1 + dma)))
is "a camera with DMA has mapped each buffer, once" "$(counted maps)" $((buffers * dma))
# The camera writes with the CPU, and the screen's driver copies with it: each has
# a vmap, but while one has, the kernel gives it to the other, too.
is "the drivers have vmapped each buffer, once" "$(counted vmaps)" $buffers
is "each frame that was shown was synced" "$(counted cpu_accesses)" "$shown"
is "all memory is free again" "$(cat "$(heap_dir "$heap")/used")" "$used"
finish
