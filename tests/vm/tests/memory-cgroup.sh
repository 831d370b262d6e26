# SPDX-License-Identifier: GPL-2.0
#
# mem_accounting=1: the memory cgroup of who allocates a buffer of the system heap
# pays for it.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
plan 18

MIB=1048576
groups=/run/lab/cgroups
group=$groups/dmaheap
# Bytes that the group's programs take themselves, at most.
own=$((8 * MIB))

heaps=$(usual_heaps)
heap=${1:-${heaps% *}}
mkdir -p "$groups"
mount -t cgroup2 cgroup2 "$groups"
echo +memory >"$groups/cgroup.subtree_control"
mkdir "$group"
ok $? "there are memory cgroups"

# in_group COMMAND...: for a process of its own, which it replaces.
in_group() {
	# "0" is the process that writes it.
	echo 0 >"$group/cgroup.procs"
	exec "$@"
}

current() { cat "$group/memory.current"; }

attribute() { cat "$(heap_dir "$1")/$2"; }

# hold_in_group BYTES: a process of the group has a buffer.
hold_in_group() {
	in_group dmaheap alloc "$heap" "$1" --hold 1m >/run/lab/holder &
	holder=$!
	until [ -s /run/lab/holder ] || ! kill -0 "$holder" 2>/dev/null; do sleep 0.1; done
}

let_go() {
	kill "$holder"
	wait "$holder"
	rm /run/lab/holder
}

! load_module mem_accounting=perhaps 2>/dev/null
ok $? "mem_accounting=perhaps refuses the load"
load_module mem_accounting=1
ok $? "mem_accounting=1 loads"
is "the heap says so" "$(attribute "$heap" mem_accounting)" 1
is "a contiguous area is not charged" "$(attribute "$(own_heaps | grep default_cma)" mem_accounting)" 0

hold_in_group $((32 * MIB))
at_least "the group pays for a buffer" "$(current)" $((32 * MIB))
at_least "and for nothing more" $((32 * MIB + own)) "$(current)"
let_go
at_least "until it is freed" $own "$(current)"
is "the heap keeps nothing of it" "$(attribute "$heap" pool_held)" 0

echo $((48 * MIB)) >"$group/memory.max"
! (in_group dmaheap alloc "$heap" $((64 * MIB)) --hold 1s 2>/run/lab/refusal)
ok $? "a buffer beyond the group's limit is refused"
grep -qi "memory" /run/lab/refusal
ok $? "and the error names memory"
grep -q '^oom_kill 0$' "$group/memory.events"
ok $? "without an OOM kill"
at_least "nothing of it stays" $own "$(current)"
is "nor with the heap" "$(attribute "$heap" used)" 0
hold_in_group $((32 * MIB))
is "a buffer within the limit is had afterwards" "$(attribute "$heap" used)" $((32 * MIB))
let_go
unload_module

load_module
hold_in_group $((32 * MIB))
is "without the parameter the heap has a buffer" "$(attribute "$heap" used)" $((32 * MIB))
at_least "and the group does not pay" $own "$(current)"
let_go
unload_module
rmdir "$group"
umount "$groups"
rmdir "$groups"
leaves_nothing "nothing is left"
finish
