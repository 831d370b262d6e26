# SPDX-License-Identifier: GPL-2.0
#
# A heap that keeps nothing costs nothing: none of the module's threads runs.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
plan 6

# How often our threads ran, each with its number.
switches() {
	for comm in /proc/[0-9]*/comm; do
		case $(cat "$comm" 2>/dev/null) in
		dma_heap*) awk -v task="${comm%/comm}" '/_ctxt_switches:/ { sum += $2 } END { print task, sum }' "${comm%/comm}/status" ;;
		esac
	done
}

# none_runs TEXT: a test that there are 10 s in which none of them runs, begun soon
# after the last has done what it had to.
none_runs() {
	for _ in 1 2 3 4 5 6; do
		before=$(switches)
		sleep 10
		after=$(switches)
		[ "$before" != "$after" ] || break
	done
	is "$1" "$after" "$before"
}

# kept: what the heaps keep, in bytes.
kept() {
	sum=0
	for heap in $(own_heaps); do
		sum=$((sum + $(cat "$(heap_dir "$heap")/pool_held")))
	done
	echo $sum
}

load_module
for heap in $(own_heaps); do
	# Whatever looks at idle memory now and then would do so many times in 10 s.
	echo 200 >"$(heap_dir "$heap")/pool_trim_ms"
done
at_least "the module has threads" "$(switches | wc -l)" 1
none_runs "no thread runs before the first buffer"

for heap in $(own_heaps); do
	echo 600000 >"$(heap_dir "$heap")/pool_trim_ms"
	if [ "$(cat "$(heap_dir "$heap")/contiguous")" = 1 ]; then
		# It keeps something beside a living buffer only.
		echo 16777216 >"$(heap_dir "$heap")/pool_cap"
		hold "$heap" 4K
		living=$holder
	fi
	dmaheap alloc "$heap" 8M --hold 1ms >/dev/null
done
for _ in $(seq 100); do
	[ "$(kept)" -lt $((16 << 20)) ] || break
	usleep 100000
done
at_least "buffers came and went, and are kept" "$(kept)" $((16 << 20))
for heap in $(own_heaps); do
	echo 200 >"$(heap_dir "$heap")/pool_trim_ms"
done
for _ in $(seq 100); do
	[ "$(kept)" -gt 0 ] || break
	usleep 100000
done
is "until the trim time has passed" "$(kept)" 0
release "$living"
none_runs "then no thread runs any more"
unload_module
leaves_nothing "nothing is left"
finish
