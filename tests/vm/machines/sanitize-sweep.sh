# SPDX-License-Identifier: GPL-2.0
#
# Every allocation that is made for the module fails once: below its own entries, and
# below what importers call.

# shellcheck source=tests/vm/lib/sanitized.sh
. /lab/lib/sanitized.sh
mount -t tracefs tracefs /sys/kernel/tracing
load_module
run_test sweep-calls 120 dmaheap-fault-sweep calls
insmod /lab/dma_buf_test_importer.ko
# The core of dma-bufs warns, once, when an exporter's vmap fails.
expect_log 1 '^------------\[ cut here \]------------'
expect_log 1 '^WARNING: .*\bat dma_buf_vmap\+'
expect_log 1 '^Call Trace:'
run_test sweep-devices 120 dmaheap-fault-sweep devices
rmmod dma_buf_test_importer
unload_module
# Root's cgroup is not charged.
groups=/run/lab/cgroups
mkdir $groups
mount -t cgroup2 cgroup2 $groups
echo +memory >$groups/cgroup.subtree_control
mkdir $groups/sweep
load_module mem_accounting=1
run_test sweep-charged 60 sh -c "echo 0 >$groups/sweep/cgroup.procs && exec dmaheap-fault-sweep charged"
unload_module
sanitized_end
