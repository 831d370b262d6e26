# SPDX-License-Identifier: GPL-2.0
#
# What is tested in a machine of two NUMA nodes, of which one has memory that
# can be taken out, and breaks.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
load_module
run_test kselftest 300 dmaheap-kselftest --only=numa system-pooled
run_test offline 60 sh /lab/offline.sh
unload_module
run_test broken 120 sh /lab/broken.sh
