# SPDX-License-Identifier: GPL-2.0
#
# The udev rules: the names that programs look for are nodes of our heaps, with their
# rights, never instead of anybody else's, and go with the module.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

# Does the kernel have a heap of its own?
kernels=
[ ! -e /sys/class/dma_heap/system ] || kernels=y
plan $((31 + 0${kernels:+7}))

leads() { for name; do leads_to "$name"; done | xargs; }

change() { udevadm trigger --settle --subsystem-match=dma_heap --subsystem-match=rust_dma_heap; }

nodes() { (cd /dev/dma_heap 2>/dev/null && echo *); }

before=$(nodes)
load_module
udevadm settle
is "the names of a CMA heap lead to ours" "$(leads linux,cma reserved vidbuf_cached)" \
	"default_cma_region default_cma_region default_cma_region"
is "which are nodes" "$(stat -c %F /dev/dma_heap/linux,cma)" "character special file"
is "the heaps' own names lead to themselves" "$(leads system default_cma_region)" "system default_cma_region"
for heap in $(own_heaps); do
	is "the group video may open $heap" "$(stat -c '%U:%G %a' "/dev/dma_heap/$heap")" "root:video 660"
done
is "the compatible names have the same rights" "$(stat -c '%U:%G %a' /dev/dma_heap/linux,cma)" "root:video 660"
is "a name of another board is not there" "$(leads cma qcom,system)" "none none"
for board in "brcm,bcm2712 vidbuf_cached system" "brcm,bcm2711 vidbuf_cached default_cma_region" \
	"rockchip,rk3588 cma default_cma_region" "rockchip,rk3588 system-uncached -"; do
	# shellcheck disable=SC2086 # words
	set -- $board
	is "dmaheap names: $2 on $1" "$(dmaheap names --board "$1" | awk -v name="$2" '$1 == name { print $2 }' | sed s/-pooled//)" "$3"
done
is "dmaheap list has each heap once" "$(dmaheap list | awk '$2 == "module" { print $1 }' | sort | xargs)" "$(own_heaps | sort | xargs)"
is "with its other names" "$(dmaheap list | sed -n 's/^default_cma_region .* 0660 *//p')" "linux,cma reserved vidbuf_cached"
is "dmaheap verify tests a heap once" \
	"$(dmaheap verify linux,cma default_cma_region reserved --sizes 64K | grep -c '^linux,cma\|^default\|^reserved')" 1
runuser -u viewer -- /lab/dmaheap alloc linux,cma 4K --hold 0s >/dev/null
ok $? "a user of the group video allocates by one of these names"
! runuser -u nobody -- /lab/dmaheap alloc linux,cma 4K --hold 0s >/dev/null 2>&1
ok $? "others do not"
if [ -n "$kernels" ]; then
	is "the kernel's system heap is no heap of ours" "$([ -e "$(heap_dir system)/pool_cap" ] || echo none)" none
	is "and its node is as it was" "$(stat -c '%U:%G %a' /dev/dma_heap/system)" "root:root 600"
fi
# As packages and reboots do it.
change
is "the names outlive a change" "$(leads linux,cma reserved vidbuf_cached)" \
	"default_cma_region default_cma_region default_cma_region"
dir=$(heap_dir default_cma_region)
size=$(($(cat "/sys/kernel/mm/cma/$(cat "$dir/area")/total_pages") * $(getconf PAGESIZE)))
is "the CMA heap's limit is what its area has" "$(cat "$dir/limit") $(cat "$dir/user_limit")" "$size $size"
echo 4194304 >"$dir/limit"
change
is "a change leaves a lower one" "$(cat "$dir/limit")" 4194304
echo 1099511627776 >"$dir/limit"
change
is "and corrects a higher one" "$(cat "$dir/limit")" "$size"
unload_module
udevadm settle
is "the names go with the module" "$(nodes)" "$before"

load_module pooled_names=1
udevadm settle
is "the plain names lead to heaps that bear others" "$(leads default_cma_region linux,cma)" \
	"default_cma_region-pooled default_cma_region-pooled"
if [ -n "$kernels" ]; then
	is "but not instead of the kernel's" "$(leads system)" system
else
	is "all of them" "$(leads system)" system-pooled
fi
unload_module
udevadm settle
is "those names go with the module, too" "$(nodes)" "$before"

# Somebody else's node stands there before.
mkdir -p /dev/dma_heap
mknod /dev/dma_heap/linux,cma c 1 3
load_module
udevadm settle
is "a node that is there stays" "$(leads linux,cma reserved)" "null default_cma_region"
unload_module
udevadm settle
is "and outlives the module" "$(leads linux,cma reserved)" "null none"
rm /dev/dma_heap/linux,cma

# Links that the rules of 0.1.0 made, which were upgraded while the module was loaded.
mv /etc/udev/rules.d/90-rust-dma-heap-names.rules /run/lab/
udevadm control --reload
load_module
udevadm settle
ln -s default_cma_region /dev/dma_heap/linux,cma
ln -s default_cma_region /dev/dma_heap/mine
ln -s null /dev/dma_heap/reserved
mv /run/lab/90-rust-dma-heap-names.rules /etc/udev/rules.d/
udevadm control --reload
change
is "links of older rules become nodes, others stay" "$(leads linux,cma mine reserved)" "default_cma_region link link"
rm /dev/dma_heap/mine /dev/dma_heap/reserved
change

# Lines of one's own.
mkdir -p /etc/rust-dma-heap
printf '* camera default_cma_region contiguous\n* linux,cma -\n* frames-uncached system uncached\n' >/etc/rust-dma-heap/names
change
is "lines in /etc come first" "$(leads camera linux,cma reserved frames-uncached)" \
	"default_cma_region none default_cma_region none"
echo 'camera default_cma_region' >/etc/rust-dma-heap/names
change
is "a file that cannot be read takes nothing away" "$(leads linux,cma reserved)" "default_cma_region default_cma_region"
rm -r /etc/rust-dma-heap
dmaheap udev --clear
is "all that was made can be removed" "$(leads linux,cma reserved)" "none none"
! runuser -u nobody -- ls /run/rust-dma-heap >/dev/null 2>&1
ok $? "nobody else holds its lock"
unload_module
udevadm settle

# A heap of the kernel's own comes while a node of ours has its name. It stays to the end. (A
# kernel without a heap core gets none once ours are there.)
if [ -n "$kernels" ]; then
	load_module pooled_names=1
	udevadm settle
	load_c_heaps
	udevadm settle
	numbers=$(cat /sys/class/dma_heap/default_cma_region/dev)
	is "a heap of the kernel's that comes later takes its name" \
		"$(stat -c '%F %Hr:%Lr' /dev/dma_heap/default_cma_region)" "character special file $numbers"
	change
	is "and keeps it" "$(leads default_cma_region linux,cma)" "default_cma_region default_cma_region-pooled"
	dmaheap udev --clear
	is "it is not removed with those of ours" "$(leads default_cma_region linux,cma)" "default_cma_region none"
	is "list has both heaps" "$(dmaheap list | awk '$1 ~ /^default/ { print $1, $2 }' | xargs)" \
		"default_cma_region kernel default_cma_region-pooled module"
	unload_module
	udevadm settle
	is "without us, too" "$(leads default_cma_region linux,cma)" "default_cma_region none"
fi
finish
