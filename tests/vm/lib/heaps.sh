# SPDX-License-Identifier: GPL-2.0
#
# Our heaps, and processes that hold buffers of them.

# Our heaps' names, on this machine.
own_heaps() { ls -1 /sys/class/rust_dma_heap /sys/class/dma_heap 2>/dev/null | while read -r heap; do
	node=$(heap_dir "$heap") && [ -e "$node/pool_cap" ] && echo "$heap"
done; }

# Their names in an ordinary boot: amd64's kernel has a system heap of its own.
usual_heaps() {
	case $(uname -m) in
	x86_64) echo "system-pooled default_cma_region" ;;
	*) echo "system default_cma_region" ;;
	esac
}

# The sysfs folder of the heap $1, found from its node as a program would.
heap_dir() {
	[ -c "/dev/dma_heap/$1" ] || return 1
	numbers=$(stat -c '%t %T' "/dev/dma_heap/$1")
	echo "/sys/dev/char/$((0x${numbers% *})):$((0x${numbers#* }))"
}

# leads_to NAME: the heap, by the name that the kernel gives it, to which a node of
# /dev/dma_heap leads; or what else stands there.
leads_to() {
	if [ -L "/dev/dma_heap/$1" ]; then
		echo link
	elif [ -c "/dev/dma_heap/$1" ]; then
		[ -e "$(heap_dir "$1")" ] && basename "$(readlink -f "$(heap_dir "$1")")" || echo nothing
	elif [ -e "/dev/dma_heap/$1" ]; then
		echo something
	else
		echo none
	fi
}

# A tenth of a second, which either sleep takes that there is.
tenth() { usleep 100000 2>/dev/null || sleep 0.1; }

# used_up_to HEAP BYTES: waits for buffers that were closed. One is gone with its last
# reference, which the kernel may drop a moment later.
used_up_to() {
	for _ in $(seq 50); do
		[ "$(cat "$(heap_dir "$1")/used")" -gt "$2" ] || return 0
		tenth
	done
	return 1
}

# hold HEAP SIZE: has a process hold such a buffer, and sets holder. Fails if it gets
# none. What it says is in /run/lab/alloc.
hold() {
	# What an earlier one has said is no sign of this one.
	rm -f /run/lab/alloc
	dmaheap alloc "$1" "$2" --hold 600s >/run/lab/alloc 2>&1 &
	holder=$!
	for _ in $(seq 300); do
		[ ! -s /run/lab/alloc ] || break
		tenth
	done
	[ "$(ls -l /proc/$holder/fd | grep -c '/dmabuf:')" -eq 1 ]
}

# release PROCESS...: kills who holds a buffer, and waits for its end.
release() {
	kill -KILL "$@"
	wait "$@" 2>/dev/null
}

as_nobody() { su nobody -s /bin/sh -c "$1"; }
