# SPDX-License-Identifier: GPL-2.0
#
# Every allocation that is made while the module is loaded and unloaded fails once.

# shellcheck source=tests/vm/lib/sanitized.sh
. /lab/lib/sanitized.sh
mount -t tracefs tracefs /sys/kernel/tracing
begin_log
# To load a module takes memory from vmalloc(), which tells when it gets none:
# "vmalloc error: ...", with a trace. A complaint has more lines than that.
expect_log any '^Call Trace:'
# And kmemleak, when what fails is the note of where in a module to look.
expect_log any '^kmemleak: Cannot allocate a scan area'
# And the tracing core, once, when it cannot note what a tracepoint has.
expect_log 1 '^------------\[ cut here \]------------'
expect_log 1 '^WARNING: at event_define_fields\+'
# And the unwinder, once, when a timer comes while a kretprobe's trampoline, by which loads are told
# to fail, has no frame of its own.
expect_log any "^WARNING: kernel stack regs at .* has bad 'bp' value"
# Modules leave sooner.
echo 1 >/sys/kernel/rcu_expedited
run_test sweep-load 900 dmaheap-fault-sweep load "/lab/$MODULE.ko"
sanitized_end
