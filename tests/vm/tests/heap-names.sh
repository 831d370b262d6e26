# SPDX-License-Identifier: GPL-2.0
#
# heap-names.sh [HEAP...]: exactly these heaps of ours are there, with their nodes. A
# first name that ends in -pooled says that the kernel has a heap core.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
# shellcheck disable=SC2046 # names, one a word
[ $# -gt 0 ] || set -- $(usual_heaps)
plan $((3 + 2 * $#))

is "our heaps" "$(own_heaps | sort | xargs)" "$(echo "$@" | tr ' ' '\n' | sort | xargs)"
case $1 in
*-pooled)
	is "the kernel has a heap core: our class is rust_dma_heap" "$(ls -1 /sys/class/rust_dma_heap | wc -l)" $#
	;;
*)
	is "the kernel has no heap core: our class is dma_heap" "$(ls -1 /sys/class/dma_heap | wc -l)" $#
	;;
esac
major=$(cut -d: -f1 "$(heap_dir "$1")/dev")
is "their region is dma_heap, as units say it" "$(awk -v major="$major" '/^Block/ { exit } $1 == major { print $2 }' /proc/devices)" dma_heap
for heap; do
	is "$heap has a node" "$(stat -c %F "/dev/dma_heap/$heap")" "character special file"
	is "the node of $heap belongs to root alone" "$(stat -c '%u:%g %a' "/dev/dma_heap/$heap")" "0:0 600"
done
finish
