# SPDX-License-Identifier: GPL-2.0
#
# Files that are not the module for this kernel, a module that is loaded already,
# and names that are taken: each load is refused with a reason, and leaves
# nothing. Parameters are the matter of module-parameters.sh.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
plan 26

copy=/run/lab/copy.ko
errors=/run/lab/errors

# refuses TEXT REASON COMMAND...: the load that COMMAND tries fails, and the log or
# the message of insmod gives the reason.
refuses() {
	text=$1
	reason=$2
	shift 2
	mark_log
	! "$@" 2>$errors
	ok $? "$text: the load is refused"
	logged "$reason" || grep -qF "$reason" $errors
	status=$?
	dmesg | tail -n 5 >/run/lab/kernel-log
	ok $status "$text: the reason is given" $errors /run/lab/kernel-log
	leaves_nothing "$text: nothing is left"
}

# Overwrites the bytes of the copy from $2 on with the text $1.
patch_copy() { printf %s "$1" | dd of=$copy bs=1 seek="$2" conv=notrunc 2>/dev/null; }

load_module
ok $? "the module loads"
unload_module

# As it would be if it were built for the kernel 0.3.4, say: the first digit of the
# release behind "vermagic=".
cp "/lab/$MODULE.ko" $copy
place=$(strings -o $copy | awk '$2 ~ /^vermagic=/ { print $1 }')
patch_copy 0 $((0$place + 9))
refuses "built for another kernel" "$MODULE: version magic '0" insmod $copy

# ELF's word for the machine.
cp "/lab/$MODULE.ko" $copy
patch_copy ZZ 18
refuses "built for another processor" "Invalid architecture in ELF header" insmod $copy

cp "/lab/$MODULE.ko" $copy
truncate -s 100000 $copy
refuses "cut short" "Invalid ELF section header" insmod $copy

load_module
ok $? "it loads after all that"
heaps=$(own_heaps | sort | xargs)
used=$(awk -v module=$MODULE '$1 == module { print $3 }' /proc/modules)
! insmod "/lab/$MODULE.ko" 2>$errors
ok $? "loaded already: the second load is refused"
grep -q "File exists" $errors
ok $? "loaded already: the reason is given"
is "loaded already: the heaps stay as they are" "$(own_heaps | sort | xargs)" "$heaps"
for heap in $heaps; do
	dmaheap alloc "$heap" 64K --hold 1ms >/dev/null 2>&1 || break
done
ok $? "loaded already: the heaps work"
is "loaded already: nobody more uses the module" \
	"$(awk -v module=$MODULE '$1 == module { print $3 }' /proc/modules)" "$used"
unload_module
leaves_nothing "nothing is left of the first load"

# Both names of a heap are taken, by nodes that devtmpfs knows nothing of.
mkdir -p /dev/dma_heap
made=
for name in system system-pooled; do
	[ -e "/dev/dma_heap/$name" ] && continue
	mknod "/dev/dma_heap/$name" c 1 3
	made="$made /dev/dma_heap/$name"
done
traces >/run/lab/before-taken
for parameter in pooled_names=-1 pooled_names=1; do
	mark_log
	! load_module $parameter 2>/dev/null && logged "/dev/dma_heap/system-pooled already exists"
	ok $? "both names taken, $parameter: refused, and the log says which"
done
traces | diff /run/lab/before-taken - >/run/lab/difference
ok $? "both names taken: nothing is left"
# shellcheck disable=SC2086 # paths, one a word
rm -f $made
rmdir /dev/dma_heap 2>/dev/null
leaves_nothing "both names taken: nothing is left in the end"

# A link that leads nowhere is in a node's way, too.
mkdir -p /dev/dma_heap
links=
for name in system system-pooled; do
	[ -e "/dev/dma_heap/$name" ] && continue
	ln -s /nowhere "/dev/dma_heap/$name"
	links="$links /dev/dma_heap/$name"
done
traces >/run/lab/before-taken
mark_log
! load_module pooled_names=1 2>/dev/null && logged "/dev/dma_heap/system-pooled already exists"
ok $? "a dangling link: refused, and the log says which name is taken"
traces | diff /run/lab/before-taken - >/run/lab/difference
ok $? "a dangling link: nothing is left"
# shellcheck disable=SC2086 # paths, one a word
rm -f $links
rmdir /dev/dma_heap 2>/dev/null
leaves_nothing "a dangling link: nothing is left in the end"

# A file where the nodes' folder would be: the kernel makes none, and says nothing.
[ ! -d /dev/dma_heap ] || mv /dev/dma_heap /dev/dma_heap.away
: >/dev/dma_heap
mark_log
load_module && logged "/dev/dma_heap/default_cma_region is missing"
ok $? "no folder for the nodes: the log says that they are missing"
unload_module
rm /dev/dma_heap
[ ! -d /dev/dma_heap.away ] || mv /dev/dma_heap.away /dev/dma_heap
leaves_nothing "no folder for the nodes: nothing is left"
finish
