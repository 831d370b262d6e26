# SPDX-License-Identifier: GPL-2.0
#
# The udev rules: the names that programs look for lead to our heaps, but never
# instead of a node of the kernel's, and go with the module.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

# Does the kernel have a heap of its own?
kernels=
[ ! -e /sys/class/dma_heap/system ] || kernels=y
plan $((16 + 0${kernels:+5}))

# The heap that /dev/dma_heap/$1 leads to, or "none"; a node of the kernel's own
# is "node".
leads_to() {
	path=/dev/dma_heap/$1
	if [ -L "$path" ]; then
		basename "$(readlink -f "$path")"
	elif [ -c "$path" ]; then
		echo node
	elif [ -e "$path" ]; then
		echo something
	else
		echo none
	fi
}

leads() { for name; do leads_to "$name"; done | xargs; }

nodes() { (cd /dev/dma_heap 2>/dev/null && echo *); }

before=$(nodes)
load_module
udevadm settle
is "the names of a CMA heap lead to ours" "$(leads linux,cma reserved vidbuf_cached)" \
	"default_cma_region default_cma_region default_cma_region"
is "the heaps' own names are nodes" "$(leads system default_cma_region)" "node node"
for heap in $(own_heaps); do
	is "the group video may open $heap" "$(stat -c '%U:%G %a' "/dev/dma_heap/$heap")" "root:video 660"
done
runuser -u viewer -- /lab/dmaheap alloc linux,cma 4K --hold 0s >/dev/null
ok $? "a user of the group video allocates by one of these names"
! runuser -u nobody -- /lab/dmaheap alloc linux,cma 4K --hold 0s >/dev/null 2>&1
ok $? "others do not"
if [ -n "$kernels" ]; then
	is "the kernel's system heap is no heap of ours" "$([ -e "$(heap_dir system)/pool_cap" ] || echo none)" none
	is "and its node is as it was" "$(stat -c '%U:%G %a' /dev/dma_heap/system)" "root:root 600"
fi
# As packages and reboots do it.
udevadm trigger --settle --subsystem-match=dma_heap --subsystem-match=rust_dma_heap
is "the links outlive a change" "$(leads linux,cma reserved vidbuf_cached)" \
	"default_cma_region default_cma_region default_cma_region"
dir=$(heap_dir default_cma_region)
size=$(($(cat "/sys/kernel/mm/cma/$(cat "$dir/area")/total_pages") * $(getconf PAGESIZE)))
is "the CMA heap's limit is what its area has" "$(cat "$dir/limit") $(cat "$dir/user_limit")" "$size $size"
change() { udevadm trigger --settle --subsystem-match=dma_heap --subsystem-match=rust_dma_heap; }
echo 4194304 >"$dir/limit"
change
is "a change leaves a lower one" "$(cat "$dir/limit")" 4194304
echo 1099511627776 >"$dir/limit"
change
is "and corrects a higher one" "$(cat "$dir/limit")" "$size"
unload_module
udevadm settle
is "the links go with the module" "$(nodes)" "$before"

load_module pooled_names=1
udevadm settle
is "the plain names lead to heaps that bear others" "$(leads default_cma_region linux,cma)" \
	"default_cma_region-pooled default_cma_region-pooled"
if [ -n "$kernels" ]; then
	is "but not instead of the kernel's" "$(leads system)" node
else
	is "all of them" "$(leads system)" system-pooled
fi
unload_module
udevadm settle
is "those links go with the module, too" "$(nodes)" "$before"

# Somebody else's node stands there before.
mkdir -p /dev/dma_heap
mknod /dev/dma_heap/linux,cma c 1 3
load_module
udevadm settle
is "a node that is there stays" "$(leads linux,cma reserved)" "node default_cma_region"
unload_module
udevadm settle
is "and outlives the module" "$(leads linux,cma reserved)" "node none"
rm /dev/dma_heap/linux,cma

# A heap of the kernel's own comes while a link has its name. It stays to the end. (A
# kernel without a heap core gets none once ours are there.)
if [ -n "$kernels" ]; then
	load_module pooled_names=1
	udevadm settle
	load_c_heaps
	udevadm settle
	numbers=$(cat /sys/class/dma_heap/default_cma_region/dev)
	is "a heap of the kernel's that comes later takes its name" \
		"$(stat -c '%F %Hr:%Lr' /dev/dma_heap/default_cma_region)" "character special file $numbers"
	udevadm trigger --settle --subsystem-match=dma_heap --subsystem-match=rust_dma_heap
	is "and keeps it" "$(leads default_cma_region linux,cma)" "node default_cma_region-pooled"
	unload_module
	udevadm settle
	is "without us, too" "$(leads default_cma_region linux,cma)" "node none"
fi
finish
