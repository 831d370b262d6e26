# SPDX-License-Identifier: GPL-2.0
#
# The module stays while it is needed, and goes afterwards.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
set -- $(own_heaps)
plan $((4 * $# + 5))

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
# A node of somebody's own, as in a container, stays when the module goes. The kernel
# remembers what it led to.
left=/run/lab/left
numbers=$(stat -c '%t %T' "/dev/dma_heap/$1")
mknod $left c $((0x${numbers% *})) $((0x${numbers#* }))
(: <$left)
ok $? "a node elsewhere leads to the heap"
unload_module
ok $? "with nodes closed and buffers gone it unloads"
! (: <$left) 2>/run/lab/errors
ok $? "a node that is left cannot be opened"
grep -q 'No such device or address' /run/lab/errors
ok $? "because it leads nowhere"
rm $left
leaves_nothing "unloading leaves nothing"
finish
