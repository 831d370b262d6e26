# SPDX-License-Identifier: GPL-2.0
#
# A machine without a contiguous area: the module does what it can.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
[ "$(awk '$1 == "CmaTotal:" { print $2 }' /proc/meminfo)" -eq 0 ] ||
	skip_all "the kernel has a contiguous area: suite-nocma has none"
plan 4

mark_log
load_module
ok $? "the module loads"
is "our only heap" "$(own_heaps | xargs)" system-pooled
logged "no CMA heap: the kernel has no default contiguous area"
ok $? "the log says why there is no CMA heap"
unload_module
leaves_nothing "unloading leaves nothing"
finish
