# SPDX-License-Identifier: GPL-2.0
#
# What is tested in a machine of two NUMA nodes, of which one has memory that
# can be taken out, and breaks.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
load_module
run_test kselftest 300 dmaheap-kselftest --only=numa system-pooled
run_test memory-hotplug 300 sh /lab/tests/memory-hotplug.sh
unload_module
run_test memory-failure 120 sh /lab/tests/memory-failure.sh
