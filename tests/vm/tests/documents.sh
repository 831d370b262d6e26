# SPDX-License-Identifier: GPL-2.0
#
# documents.sh [PARAMETER=VALUE...]: the tables of docs/tuning.md are what the module has, and
# the commands in the documents that need only the module and the test importer (loaded with
# PARAMETERs) work. /lab/documents is what tests/docs/documents.py takes out of the documents.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
loaded || load_module
parameters=$*
set -- $(own_heaps)
documents=/lab/documents
counters=/sys/kernel/debug/rust_dma_heap
plan $((3 + 2 * $#))

# Each parameter once, in the order of the source. A module that is built in is no file.
if [ -e /lab/rust_dma_heap.ko ]; then
	grep -ao 'parmtype=[a-z_]*' /lab/rust_dma_heap.ko | cut -d= -f2 >/run/lab/parameters
	is "the table of parameters" "$(sort /run/lab/parameters | xargs)" "$(sort $documents/parameters | xargs)"
else
	skip "the table of parameters" "the module is built in"
fi

for heap; do
	dir=$(heap_dir "$heap")
	find "$dir/" -maxdepth 1 -type f ! -name uevent ! -name dev | while read -r file; do
		access=r
		[ "$(stat -c %a "$file")" = 444 ] || access=rw
		echo "${file##*/} $access"
	done | sort >/run/lab/attributes
	is "$heap: the table of attributes" "$(xargs </run/lab/attributes)" "$(sort $documents/attributes | xargs)"

	if [ ! -d "$counters" ]; then
		skip "$heap: the table of counters" "the kernel is built without debugfs"
	elif [ -e "$counters/$heap/pool_held" ]; then
		is "$heap: the table of counters" "$(ls "$counters/$heap" | sort | xargs)" "$(sort $documents/counters | xargs)"
	else
		# Those before "hits", where nothing is kept.
		is "$heap: the table of counters" "$(ls "$counters/$heap" | sort | xargs)" \
			"$(sed '/^hits$/,$d' $documents/counters | sort | xargs)"
	fi
done

# What they change is set back.
system=$(echo "$@" | tr ' ' '\n' | grep '^system')
cap=$(cat "$(heap_dir "$system")/pool_cap")
sh -ex $documents/suite.sh >/run/lab/commands 2>&1 </dev/null
ok $? "the commands on a loaded module" /run/lab/commands
echo "$cap" >"$(heap_dir "$system")/pool_cap"

if grep -qsx 0x11e8 /sys/bus/pci/devices/*/device; then
	# shellcheck disable=SC2086 # words
	insmod /lab/dma_buf_test_importer.ko $parameters
	sh -ex $documents/suite-importer.sh >/run/lab/commands 2>&1 </dev/null
	ok $? "the commands with the test importer" /run/lab/commands
	rmmod dma_buf_test_importer
else
	skip "the commands with the test importer" "needs QEMU's edu device"
fi
finish
