# SPDX-License-Identifier: GPL-2.0
#
# Module parameters: bad ones and collisions refuse the load and say why.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
plan 24

mark_log
for parameter in pooled_names=2 pooled_names=-2 pooled_names=1000 mem_accounting=2; do
	! load_module $parameter 2>/dev/null
	ok $? "$parameter refuses the load"
	logged "$parameter is n"
	ok $? "the log says why $parameter is refused"
done
for parameter in pooled_names=nonsense pooled_names= pooled_names=99999999999 mem_accounting=perhaps; do
	! load_module $parameter 2>/dev/null
	ok $? "$parameter refuses the load"
	logged "\`${parameter#*=}' invalid for parameter \`${parameter%=*}'"
	ok $? "the log says why $parameter is refused"
done
leaves_nothing "refused loads leave nothing"

load_module pooled_names=1
ok $? "pooled_names=1 loads"
is "pooled_names=1 adds the suffix to every heap" "$(own_heaps | sort | xargs)" \
	"default_cma_region-pooled system-pooled"
unload_module

# A node devtmpfs knows nothing of stands for any heap that has the name.
mkdir -p /dev/dma_heap
[ -e /dev/dma_heap/system ] || {
	mknod /dev/dma_heap/system c 1 3
	ours=y
}
mark_log
! load_module pooled_names=0 2>/dev/null
ok $? "pooled_names=0 is refused where the name is taken"
logged "/dev/dma_heap/system already exists"
ok $? "the log says which name is taken"
[ -z "$ours" ] || rm /dev/dma_heap/system
rmdir /dev/dma_heap 2>/dev/null
leaves_nothing "a collision leaves nothing"

if [ -n "$ours" ]; then
	load_module pooled_names=0
	ok $? "pooled_names=0 loads where the name is free"
	is "pooled_names=0 gives plain names" "$(own_heaps | sort | xargs)" "default_cma_region system"
	unload_module
else
	# The kernel has a heap `system`: the default has to evade it.
	load_module
	ok $? "without a parameter it loads beside the kernel's heap"
	is "only the name that is taken gets the suffix" "$(own_heaps | sort | xargs)" \
		"default_cma_region system-pooled"
	unload_module
fi
finish
