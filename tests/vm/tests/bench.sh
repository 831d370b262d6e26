# SPDX-License-Identifier: GPL-2.0
#
# dmaheap bench and dmaheap-lab bench measure, and dmaheap-lab bench-report reads what they have
# printed. What the numbers are is for make bench.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
[ -e /dev/dma_heap/default_cma_region-pooled ] ||
	skip_all "the kernel has no CMA heap of its own: suite-c-heaps has it"
plan 15

# bench PROGRAM NAME CASES OPTION...: measures for a moment, and tests that NAME.json
# has so many cases, each for both heaps.
bench() {
	program=$1
	json=/run/lab/$2.json
	cases=$3
	shift 3
	"$program" bench --json --time 10ms "$@" >"$json" 2>/run/lab/errors
	is "$program bench $*" "$?:$(cat /run/lab/errors)" 0:
	is "it has measured both heaps" "$(grep -c '"median":[1-9]' "$json")" $((2 * cases))
	is "nothing was left out" "$(grep -c '"median":null' "$json")" 0
	is "it compares them" "$(grep -c '"ratio":[0-9]' "$json")" "$cases"
}

# What needs the importer is left out, and said so.
bench dmaheap usual 7 system-pooled
insmod /lab/dma_buf_test_importer.ko
bench dmaheap-lab touch 4 system-pooled --only touch
bench dmaheap-lab vmap 2 default_cma_region-pooled --only vmap
rmmod dma_buf_test_importer

evidence=/run/lab/report
dmaheap-lab bench-report --json /run/lab/all.json --svg /run/lab/all.svg \
	/run/lab/touch.json /run/lab/vmap.json >/run/lab/report 2>&1
is "dmaheap-lab bench-report reads both" "$?:$(grep -c ' goals reached, ' /run/lab/report)" 0:1
is "its JSON has all cases" "$(grep -c '"median_ns": [1-9]' /run/lab/all.json)" 12
grep -q '</svg>' /run/lab/all.svg
ok $? "it draws a plot"
finish
