# SPDX-License-Identifier: GPL-2.0
#
# The end of a machine of make sanitize: the module goes, and nothing of it is
# left. Each check must still have been at work, too: some of them switch
# themselves off without more than a line in the log.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
[ -e "$KMEMLEAK" ] || skip_all "the kernel does not look for leaks: the one of make sanitize does"
plan 8

# Blocks of pages that nobody has freed, with the stack that allocated them: those
# for which a function of a module that is gone had asked, so that its address has
# no name any more. What the kernel keeps for itself stays, whoever needed it first:
# pages of the slab, page tables, also of an IOMMU, and notes of the checks.
own_pages() {
	awk -v RS= '/\n 0xf/ &&
		!/allocate_slab|new_slab|p[tmu]d_alloc|pte_alloc|p4d_alloc|iommu_alloc_pages|kasan_|stack_depot|dma_debug/' \
		/sys/kernel/debug/page_owner_stacks/show_stacks || echo "page_owner does not say"
}

if ! loaded; then
	load_module || diag "it does not load"
fi
for heap in $(own_heaps); do
	echo 0 >"$(heap_dir "$heap")/pool_cap"
	used="$used$(cat "$(heap_dir "$heap")/used") "
done
is "no buffer is left" "$(echo "$used" | tr -d '0 ')" ""
# One that its device has when the driver goes is a line in the log.
is "no DMA mapping is left" "$(grep dma_buf_test_importer $DMA_API/dump)" ""
rmmod dma_buf_test_importer 2>/dev/null
unload_module
ok $? "the module unloads"
# What no processor refers to any more counts only some seconds after it was
# made, and a value that is still in a register may hide it.
sleep 6
is "no page is left" "$(own_pages)" ""
echo scan >"$KMEMLEAK" && sleep 1 && echo scan >"$KMEMLEAK"
ok $? "kmemleak scans"
is "kmemleak finds nothing" "$(cat "$KMEMLEAK")" ""
is "the DMA API has been checked to the end" "$(cat $DMA_API/disabled)" N
is "locks have been checked to the end" "$(awk '$1 == "debug_locks:" { print $2 }' /proc/lockdep_stats)" 1
finish
