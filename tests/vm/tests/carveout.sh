# SPDX-License-Identifier: GPL-2.0
#
# The carveout heap: it has what was set aside, all of it and no more, in one piece
# again once its buffers are gone, and the area has it back in the end.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
plan 20
# It keeps nothing warm.
pool_cap=

free_in_area() { awk '$1 == "CmaFree:" { print $2 }' /proc/meminfo; }
fails() { ! dmaheap alloc carveout "$1" --hold 0s >/dev/null 2>&1; }

mark_log
! load_module carveout_mib=4000000 2>/dev/null
ok $? "more than the area has refuses the load"
logged "carveout_mib=4000000: the default contiguous area has no free range of that size"
ok $? "the log says why"
! load_module carveout_mib=-1 2>/dev/null
ok $? "a size that is none refuses the load"
leaves_nothing "refused loads leave nothing"

before=$(free_in_area)
load_module carveout_mib=16
ok $? "carveout_mib=16 loads"
dir=$(heap_dir carveout)
is "its buffers are contiguous" "$(cat "$dir/contiguous")" 1
# Pages of others that lay there have moved out of the area, and were not free before.
at_least "the area lacks what is set aside" $((before - $(free_in_area))) 15360

hold carveout 16M
ok $? "a buffer gets all of it"
fails 4K
ok $? "and another nothing"
release $holder
used_up_to carveout 0

# Four quarters; the second and the third come back.
hold carveout 4M; first=$holder
hold carveout 4M; second=$holder
hold carveout 4M; third=$holder
hold carveout 4M; fourth=$holder
fails 4K
ok $? "four buffers share it"
release $second $third
used_up_to carveout 8388608
hold carveout 8M
ok $? "what two neighbours had is one piece"
fails 4K
ok $? "and all that there was"
release $first $holder
used_up_to carveout 4194304
fails 16M
ok $? "a larger buffer than is free is refused"
hold carveout 12M
ok $? "one as large as is free is not"
release $fourth $holder
used_up_to carveout 0
is "buffers of killed processes are gone" "$(cat "$dir/used")" 0

dmaheap verify carveout >/run/lab/verify 2>&1
ok $? "dmaheap verify finds no fault" /run/lab/verify
insmod /lab/dma_buf_test_importer.ko
topics=abi,bad-input,permission,mmap,remapping,faults,sharing,zeroing,held-pages
# A kernel that checks the DMA API has remarks on these, which suite.sh declares for
# the other heaps.
[ -e "$DMA_API" ] || topics=$topics,importer,coherence
dmaheap-kselftest "--only=$topics" \
	carveout >/run/lab/kselftest 2>&1
ok $? "the heap's selftest passes" /run/lab/kselftest
rmmod dma_buf_test_importer
hold carveout 16M
ok $? "after all that it is one piece again"
release $holder
used_up_to carveout 0
unload_module
# Together these are more than the area.
cycles=0
while [ "$cycles" -lt 8 ] && load_module carveout_mib=16 && unload_module; do
	cycles=$((cycles + 1))
done
is "the area has it back each time" "$cycles" 8
leaves_nothing "unloading leaves nothing"
finish
