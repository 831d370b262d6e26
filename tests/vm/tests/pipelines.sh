# SPDX-License-Identifier: GPL-2.0
#
# pipelines.sh SECONDS SYSTEM CONTIGUOUS: two pipelines at 60 frames a second, whose
# pictures change their size every few seconds: so their buffers are freed and others
# allocated. One has a screen and a camera that writes with the CPU, and takes its
# buffers from the heap SYSTEM, the other has a camera with DMA, and its buffers are
# of CONTIGUOUS. Each heap has one more client besides.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
[ -e /lab/camera-to-screen ] || skip_all "the machine lacks camera-to-screen: make test-video has it"
need_heaps
seconds=$1
heaps="$2 $3"
plan 20

counter() { cat "/sys/kernel/debug/$MODULE/$1/$2"; }
attribute() { cat "$(heap_dir "$1")/$2"; }
# What the machine has left, in KiB.
available() { awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo; }

# number KEY... of the report in $report: each key is looked for after the one before.
number() {
	rest=$report
	for key; do
		rest=${rest#*\""$key"\":}
	done
	echo "${rest%%[,\}]*}"
}

# pipeline NAME ARGUMENT...: runs one in the background. At its start a frame is
# there already, so it is dated by that.
pipeline() {
	name=$1
	shift
	camera-to-screen --frames $((60 * seconds)) --rate 60 --clients 1 --json \
		--control timestamp_source=1 --patience $((10 * ${DMAHEAP_PATIENCE:-1})) "$@" >"/run/lab/$name" 2>&1 &
}

for heap in $heaps; do
	counter "$heap" mmaps >"/run/lab/mmaps-$heap"
done
available=$(available)
pipeline "$2" --heap "$2" --camera /dev/video0 --size 640x480,640x360 --change-every 300
first=$!
pipeline "$3" --heap "$3" --camera /dev/video1 --screen none --change-every 200 \
	--size 320x240,640x360,320x180
wait $first
first=$?
wait $!
second=$?

for heap in $heaps; do
	evidence=/run/lab/$heap
	report=$(cat "$evidence")
	is "$heap: the pipeline runs to its end" "$first" 0
	first=$second
	at_least "$heap: its pictures changed their size" "$(number changes count)" $((seconds / 6))
	at_least "$heap: another client was at work" "$(number client_allocations count)" $((seconds * 10))
	is "$heap: the camera has dropped no frame" "$(number counts dropped)" 0
	is "$heap: no frame was late" "$(number counts late)" 0
	is "$heap: ... nor because of an allocation" "$(number counts late_by_allocation)" 0
	at_least "$heap: the longest allocation took less than a frame: µs left" \
		$(($(number budget_us) - $(number allocations max_us))) 1
	is "$heap: no buffer was mapped by a program" \
		"$(($(counter "$heap" mmaps) - $(cat "/run/lab/mmaps-$heap")))" 0
	is "$heap: all buffers are freed" "$(attribute "$heap" used)" 0
done
evidence=
# What is kept warm goes back when nobody has needed it for some time.
sleep 15
for heap in $heaps; do
	held="$held$(attribute "$heap" pool_held) "
done
is "nothing is kept" "$held" "0 0 "
at_least "the machine has its memory back, in KiB, but for 8 MiB" $(($(available) + 8192)) "$available"
finish
