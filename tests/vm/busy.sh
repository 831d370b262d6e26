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

	# What an earlier one has said is no sign of this one.
	rm -f /run/lab/alloc
	dmaheap alloc "$heap" 64K --hold 60s >/run/lab/alloc 2>&1 3<&- &
	holder=$!
	for _ in $(seq 50); do
		[ -s /run/lab/alloc ] && break
		usleep 100000
	done
	is "$heap: a program holds a buffer" "$(ls -l /proc/$holder/fd | grep -c '/dmabuf:')" 1
	! unload_module 2>/dev/null && loaded
	ok $? "$heap: no unloading while a buffer lives"
	kill $holder
	wait $holder
	is "$heap: with the buffer gone nobody uses the module" \
		"$(awk -v module=$MODULE '$1 == module { print $3 }' /proc/modules)" 0
done
unload_module
ok $? "with nodes closed and buffers gone it unloads"
leaves_nothing "unloading leaves nothing"
finish
