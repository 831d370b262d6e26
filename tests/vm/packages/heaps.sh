# SPDX-License-Identifier: GPL-2.0
#
# The heaps are there, as the packages bring them: nodes, rights, names, contents.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
udevadm settle
set -- $(own_heaps)
plan $((4 + $#))

loaded
ok $? "the module is loaded"
is "both heaps are there" "$#" 2
is "the group video may open them" "$(for heap; do stat -c '%U:%G %a' "/dev/dma_heap/$heap"; done | sort -u)" "root:video 660"
for heap; do
	dmaheap verify "$heap" >/run/lab/verify 2>&1
	ok $? "dmaheap verify $heap" /run/lab/verify
done
is "linux,cma leads to the CMA heap" "$(leads_to linux,cma | sed 's/-pooled//')" default_cma_region
finish
