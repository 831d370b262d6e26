# SPDX-License-Identifier: GPL-2.0
#
# verify-importer.sh [HEAP...]: buffers of these heaps, or of all, in the hands of a
# device, which the importer module plays.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
[ $# -gt 0 ] || set -- $(ls -1 /dev/dma_heap)
plan $(($# + 2))

insmod /lab/dma_buf_test_importer.ko
ok $? "the importer module loads"
for heap; do
	dmaheap verify --importer "$heap" >/run/lab/verify 2>&1
	ok $? "dmaheap verify --importer $heap" /run/lab/verify
done
rmmod dma_buf_test_importer
ok $? "the importer module unloads"
finish
