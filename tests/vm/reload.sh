# SPDX-License-Identifier: GPL-2.0
#
# 100 times in and out: no memory is lost and nothing is left.

. /lab/lib.sh
plan 4

# settled NAME: a value of /proc/meminfo in KiB, once nothing is in flight.
settle() {
	for _ in 1 2 3; do
		sync
		echo 3 >/proc/sys/vm/drop_caches
		sleep 1
	done
}
meminfo() { awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo; }

cycles=0
for n in $(seq 100); do
	load_module && unload_module || break
	cycles=$n
	if [ "$n" -eq 20 ]; then
		settle
		free=$(meminfo MemFree)
		slab=$(meminfo Slab)
	fi
done
settle
is "100 times loaded and unloaded" "$cycles" 100
lost=$((${free:-0} - $(meminfo MemFree)))
grown=$(($(meminfo Slab) - ${slab:-0}))
diag "from cycle 20 to $cycles: MemFree fell by $lost KiB, Slab grew by $grown KiB"
[ "$cycles" -eq 100 ] && [ "$lost" -lt 1024 ]
ok $? "MemFree falls by less than 1024 KiB"
[ "$cycles" -eq 100 ] && [ "$grown" -lt 256 ]
ok $? "Slab grows by less than 256 KiB"
leaves_nothing "nothing is left"
finish
