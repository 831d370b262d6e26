# SPDX-License-Identifier: GPL-2.0
#
# topic.sh TOPIC[,TOPIC...] [HEAP...]: these topics of dmaheap-kselftest, for these heaps or
# all of ours.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
# shellcheck source=tests/vm/lib/set-back.sh
. /lab/lib/set-back.sh
topics=$1
shift

set_back && load_module && insmod /lab/dma_buf_test_importer.ko || exit
[ $# -gt 0 ] || set -- $(own_heaps)
for heap; do
	expect_fault any
	run_test "kselftest-$heap" 300 dmaheap-kselftest "--only=$topics" "$heap"
done
