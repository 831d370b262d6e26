# SPDX-License-Identifier: GPL-2.0
#
# The module stays while it is needed, and goes afterwards.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
set -- $(own_heaps)
plan $((4 * $# + 2))

for heap; do
	exec 3<"/dev/dma_heap/$heap"
	! unload_module 2>/dev/null && loaded
	ok $? "$heap: no unloading while a node is open"
	exec 3<&-

	hold "$heap" 64K
	ok $? "$heap: a program holds a buffer"
	! unload_module 2>/dev/null && loaded
	ok $? "$heap: no unloading while a buffer lives"
	release $holder
	is "$heap: with the buffer gone nobody uses the module" \
		"$(awk -v module=$MODULE '$1 == module { print $3 }' /proc/modules)" 0
done
unload_module
ok $? "with nodes closed and buffers gone it unloads"
leaves_nothing "unloading leaves nothing"
finish
