# SPDX-License-Identifier: GPL-2.0
#
# A machine as it was before the module was first loaded.

# holders: the processes that have a buffer, a heap or the importer open, or a buffer mapped.
holders() {
	local process
	for process in /proc/[0-9]*; do
		[ "${process#/proc/}" -ne $$ ] || continue
		if ls -l "$process/fd" 2>/dev/null | grep -qE '/dmabuf:|/dev/dma_' ||
			grep -q '/dmabuf:' "$process/maps" 2>/dev/null; then
			echo "${process#/proc/}"
		fi
	done
}

# unload_all: fails if something cannot be unloaded.
unload_all() {
	local name
	for name in dma_buf_test_importer "$MODULE"; do
		! grep -q "^$name " /proc/modules || rmmod "$name" 2>/run/errors || return
	done
}

# set_back: what a test has left goes, if need be with its processes. Says what stays.
set_back() {
	local mounted node
	for _ in $(seq 20); do
		! unload_all || break
		# shellcheck disable=SC2046 # numbers, one a word
		kill -KILL $(holders) 2>/dev/null
		usleep 100000
	done
	unload_all || {
		echo "cannot be set back: $(cat /run/errors)"
		return 1
	}
	awk '$2 ~ "^/run/lab/" { print $2 }' /proc/mounts | while read -r mounted; do umount "$mounted"; done
	rm -rf /run/lab
	mkdir /run/lab
	# Nodes and links of a test that was cut short.
	for node in /dev/dma_heap/*; do
		[ -e "/sys/class/dma_heap/${node##*/}" ] || rm -f "$node"
	done
	rmdir /dev/dma_heap 2>/dev/null
	return 0
}
