# SPDX-License-Identifier: GPL-2.0
#
# The heaps' limits before anybody has written one, those that follow another, and who
# may use an area up. The argument is what the default contiguous area has, in
# bytes, if it is not the only one.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
# What is kept warm is no matter here.
pool_cap=

area=${1:-$(awk '$1 == "CmaTotal:" { print $2 * 1024 }' /proc/meminfo)}
[ "$area" -ge 335544320 ] || skip_all "the contiguous area has less than 320 MiB: suite-limits has as much"
plan 34
carveout=33554432

attribute() { cat "$(heap_dir "$1")/$2"; }

# limits HEAP: the two of them.
limits() { echo "$(attribute "$1" limit) $(attribute "$1" user_limit)"; }

set_limit() { echo "$3" >"$(heap_dir "$1")/$2"; }

# Allocates as a user without any capability, and as root of a user namespace, as
# containers have it.
user_gets() { as_nobody "dmaheap alloc $1 $2 --hold 1ms" >/run/lab/alloc 2>&1; }
container_gets() { unshare -U -r dmaheap alloc "$1" "$2" --hold 1ms >/run/lab/alloc 2>&1; }

load_module carveout_mib=32
ok $? "the module loads"
system=$(own_heaps | grep '^system')
cma=$(own_heaps | grep '^default_cma_region')
chmod 666 /dev/dma_heap/*
half=$(awk '$1 == "MemTotal:" { print $2 * 512 }' /proc/meminfo)
is "system: half of the memory, and half of that for a user" "$(limits "$system")" "$half $((half / 2))"
is "carveout: what was set aside, for one user as well" "$(limits carveout)" "$carveout $carveout"
is "$cma: what its area has, for one user as well" "$(limits "$cma")" "$area $area"
name=$(attribute "$cma" area)
is "it tells the area" "$(($(cat "/sys/kernel/mm/cma/$name/total_pages") * 4096))" "$area"
is "system and carveout have no area" "$(attribute "$system" area)$(attribute carveout area)" ""

user_gets carveout 32M
ok $? "a user gets all of the carveout"
container_gets carveout 32M
ok $? "so does root of a container"
user_gets "$cma" 256M
ok $? "a user gets most of the area"
container_gets "$cma" 256M
ok $? "so does root of a container"
set_limit carveout user_limit 8388608
is "root writes user_limit" "$(limits carveout)" "$carveout 8388608"
user_gets carveout 8M
ok $? "which is exact: a user gets as much"
! user_gets carveout 8196K && grep -q 'user_limit' /run/lab/alloc
ok $? "one page above user_limit is refused, and the error names it"
! container_gets carveout 8196K && grep -q 'user_limit' /run/lab/alloc
ok $? "nor does root of a container"
dmaheap alloc carveout 32M --hold 1ms >/dev/null
ok $? "root itself does"
! as_nobody "echo 4096 >$(heap_dir carveout)/user_limit" 2>/dev/null
ok $? "others do not write user_limit"

set_limit "$system" limit 8388608
is "system: a user's limit follows the heap's" "$(limits "$system")" "8388608 4194304"
user_gets "$system" 4M
ok $? "a user gets as much"
! user_gets "$system" 4100K && grep -q 'user_limit' /run/lab/alloc
ok $? "and no page more"
set_limit "$system" user_limit 1048576
set_limit "$system" limit 16777216
is "until it is written" "$(limits "$system")" "16777216 1048576"
set_limit "$cma" limit 8388608
is "$cma: a user's limit follows the heap's" "$(limits "$cma")" "8388608 8388608"

# What the udev rules run, as udev would.
event() { ACTION=$1 DEVPATH=$(readlink -f "$(heap_dir "$2")") dmaheap udev; }
event change "$cma"
ok $? "the rules' program runs"
is "it leaves a limit below what the area has" "$(limits "$cma")" "8388608 8388608"
set_limit "$cma" limit 1099511627776
event change "$cma"
is "and corrects one above" "$(limits "$cma")" "$area $area"
is "a device that was there before has the names, too" "$(leads_to linux,cma)" "$cma"

# Settings that outlive a reload.
mkdir -p /etc/rust-dma-heap
cat >/etc/rust-dma-heap/settings <<'EOF'
# As people write it.
default_cma_region  limit=32M user_limit=1920x1080x4
system              limit=1G pool_cap=16M pool_trim_ms=2s keep_mappings=0
EOF
dmaheap set "$system" limit=512M --save >/dev/null
set_limit "$system" limit 1073741824
event change "$cma"
is "a change leaves what root wrote" "$(limits "$cma")" "$area $area"
event add "$cma"
event add "$system"
is "a heap that comes gets the settings" "$(limits "$cma") $(attribute "$system" pool_cap) $(attribute "$system" pool_trim_ms) $(attribute "$system" keep_mappings)" \
	"33554432 8294400 16777216 2000 0"
is "what a tool has saved counts more" "$(attribute "$system" limit)" 536870912
user_gets "$cma" 7M && ! user_gets "$cma" 8M && grep -q user_limit /run/lab/alloc
ok $? "and they hold"
echo "default_cma_region limit=lots user_limit=1M" >/etc/rust-dma-heap/settings
event add "$cma" 2>/run/lab/errors
[ $? -eq 1 ] && grep -q 'settings:1: limit=lots' /run/lab/errors
ok $? "one that cannot be read is told"
is "and the others count" "$(attribute "$cma" user_limit)" 1048576
rm -r /etc/rust-dma-heap
unload_module
ok $? "the module goes"
ACTION=remove dmaheap udev
is "and the names with it" "$(leads_to linux,cma)" none
leaves_nothing "unloading leaves nothing"
finish
