# SPDX-License-Identifier: GPL-2.0
#
# What a module could leave behind.

# Every place where a module could leave something behind.
traces() {
	for file in /proc/devices /proc/misc; do
		sed "s|^|$file: |" "$file"
	done
	for dir in /sys/class /sys/module /sys/devices/virtual /sys/kernel /sys/kernel/debug /dev /dev/dma_heap; do
		ls -1 "$dir" 2>/dev/null | sed "s|^|$dir/|"
	done
}

# leaves_nothing TEXT: a test that nothing is there now that was not there
# before the first load.
leaves_nothing() {
	# An empty folder that devtmpfs made for a node goes with the node.
	traces >/run/lab/after
	difference=$(diff /run/lab/before /run/lab/after | grep '^[-+][^-+]')
	is "$1" "$difference" ""
}
