# SPDX-License-Identifier: GPL-2.0
#
# dmaheap verify, for every heap of the machine.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
set -- $(ls -1 /dev/dma_heap)
plan $#

for heap; do
	dmaheap verify "$heap" >/run/lab/verify 2>&1
	status=$?
	# On this machine nothing stands in the way of any of its checks.
	[ $status -ne 0 ] || tail -n 1 /run/lab/verify | grep -q ', 0 skipped$' || status=1
	ok $status "dmaheap verify $heap"
	[ $status -eq 0 ] || diag "$(cat /run/lab/verify)"
done
finish
