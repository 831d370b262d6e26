# SPDX-License-Identifier: GPL-2.0
#
# dmaheap verify, for every heap of the machine.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
set -- $(ls -1 /dev/dma_heap)
plan $(($# + 1))

for heap; do
	dmaheap verify "$heap" >/run/lab/verify 2>&1
	status=$?
	# On this machine nothing stands in the way of any of its checks, unless the kernel
	# does not show where memory is.
	[ $status -ne 0 ] || tail -n 1 /run/lab/verify | grep -q ', 0 skipped$' ||
		{ [ ! -e /proc/kcore ] && ! grep '^skipped ' /run/lab/verify | grep -qv ' CONTIGUOUS: /proc/kcore '; } ||
		status=1
	ok $status "dmaheap verify $heap" /run/lab/verify
done
if [ -e /proc/kcore ]; then
	ok 0 "among the checks is where memory is"
else
	skip "among the checks is where memory is" "the kernel is built without CONFIG_PROC_KCORE"
fi
finish
