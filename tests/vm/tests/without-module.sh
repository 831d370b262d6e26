# SPDX-License-Identifier: GPL-2.0
#
# dmaheap without the module: it says what to do.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
plan 2
evidence=/run/lab/list

if [ -e /dev/dma_heap/system ]; then
	dmaheap list >/run/lab/list 2>&1
	is "dmaheap list works with the kernel's heaps alone" $? 0
	grep -q '^system  *kernel ' /run/lab/list
	ok $? "it says that they are the kernel's"
else
	dmaheap list >/run/lab/list 2>&1
	is "dmaheap list without any heap ends with status 3" $? 3
	grep -q 'modprobe rust_dma_heap' /run/lab/list
	ok $? "it says what to do"
fi
finish
