# SPDX-License-Identifier: GPL-2.0
#
# perf reads the tracepoints, by the commands of docs/tuning.md.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
plan 9

bash -ex /lab/documents/trace.sh >/run/lab/said 2>&1 </dev/null
ok $? "the commands of docs/tuning.md" /run/lab/said
for event in $(ls /sys/kernel/tracing/events/dmabuf_heap | grep dma_heap_); do
	grep -q "dmabuf_heap:$event" /run/lab/said
	ok $? "$event is among what they say" /run/lab/said
done
finish
