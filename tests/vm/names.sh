# SPDX-License-Identifier: GPL-2.0
#
# names.sh HEAP...: exactly these heaps of ours are there, with their nodes.

. /lab/lib.sh
plan $((2 + 2 * $#))

is "our heaps" "$(own_heaps | sort | xargs)" "$(echo "$@" | tr ' ' '\n' | sort | xargs)"
if zcat /proc/config.gz 2>/dev/null | grep -q '^CONFIG_DMABUF_HEAPS=y' || [ -c /dev/dma_heap/system ] && [ "$1" != system ]; then
	is "the kernel has a heap core: our class is rust_dma_heap" "$(ls -1 /sys/class/rust_dma_heap | wc -l)" $#
else
	is "the kernel has no heap core: our class is dma_heap" "$(ls -1 /sys/class/dma_heap | wc -l)" $#
fi
for heap; do
	[ -c "/dev/dma_heap/$heap" ]
	ok $? "$heap has a node"
	is "the node of $heap belongs to root alone" "$(stat -c '%u:%g %a' "/dev/dma_heap/$heap")" "0:0 600"
done
finish
