# SPDX-License-Identifier: GPL-2.0
#
# The machine goes to sleep while freed memory waits to be zeroed, and comes back: that
# was no reason to stay awake, the rest is done afterwards, and buffers are as they were.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

power=/sys/power
if ! grep -qw freeze $power/state || [ ! -e $power/pm_test ]; then
	skip_all "the kernel cannot try a sleep (CONFIG_SUSPEND, CONFIG_PM_SLEEP_DEBUG)"
fi
need_heaps
plan 10

heap=$(own_heaps | grep system)
knobs=$(heap_dir "$heap")
counters=/sys/kernel/debug/$MODULE/$heap
MIB=1048576

counter() { cat "$counters/$1"; }

# sleeps: all tasks are frozen as for a sleep, and go on a moment later. Devices stay
# awake: by one of them this script prints, and the kernel would not wake it up again.
# Fails if a task cannot be frozen. Sets dirty to what waits to be zeroed afterwards.
sleeps() {
	echo freezer >$power/pm_test
	if echo freeze >$power/state; then asleep=0; else asleep=1; fi
	dirty=$(counter pool_dirty)
	echo none >$power/pm_test
	return $asleep
}

# Processes that want all the time that there is. Who zeroes waits for others.
start_others() {
	others=
	for _ in $(seq $(($(nproc) * 2))); do
		while :; do :; done &
		others="$others $!"
	done
}
stop_others() {
	# shellcheck disable=SC2086 # numbers, one a word
	release $others
}

# leave_dirty: much is written and then freed. Fails if none of it waits to be zeroed.
leave_dirty() {
	dmaheap-lab importer --heap "$heap" --size "$size" cpu-write=0:$size:0xa5 >/dev/null
	used_up_to "$heap" $held
	dirty=$(counter pool_dirty)
	[ "$dirty" -gt 0 ]
}

insmod /lab/dma_buf_test_importer.ko
ok $? "the importer module loads"
echo 600000 >"$knobs/pool_trim_ms"
size=$(($(cat "$knobs/pool_cap") / 2 / MIB * MIB))
held=$MIB
# Not the whole time that a person would want.
echo 2 >/sys/module/suspend/parameters/pm_test_delay

# One that a program has all the time. It takes its steps from a pipe.
mkfifo /run/lab/steps-asleep
dmaheap-lab importer --heap "$heap" --size 1M </run/lab/steps-asleep >/run/lab/asleep 2>&1 &
holder=$!
exec 3>/run/lab/steps-asleep
echo cpu-write=0:1M:0x5a >&3
for _ in $(seq 100); do
	[ "$(cat "$knobs/used")" -ne $held ] || break
	usleep 100000
done
is "a program has a buffer" "$(cat "$knobs/used")" $held

# The last of it may be done just before all stops.
mark_log
slept=1
start_others
for try in $(seq 20); do
	leave_dirty || continue
	sleeps
	slept=$?
	[ "$slept:$dirty" = 0:0 ] || break
done
stop_others
ok $slept "the machine sleeps and comes back"
at_least "what waits to be zeroed waits (try $try)" "$dirty" 1
! logged "refusing to freeze"
ok $? "every task lets it sleep"
for _ in $(seq 300); do
	[ "$(counter pool_dirty)" -gt 0 ] || break
	usleep 100000
done
is "and is zeroed afterwards" "$(counter pool_dirty)" 0

echo cpu-read=1048572:4 >&3
exec 3>&-
wait $holder
grep -q '^cpu-read=.* 5a 5a 5a 5a$' /run/lab/asleep
ok $? "the program's buffer holds what it held" /run/lab/asleep
rm -f /run/lab/steps-asleep
dmaheap verify "$heap" >/run/lab/verify 2>&1
ok $? "the heap is as it should be" /run/lab/verify
dmaheap alloc "$heap" "$size" --hold 1ms >/dev/null
ok $? "zeroed memory can be allocated"
rmmod dma_buf_test_importer
ok $? "the importer module unloads"
finish
