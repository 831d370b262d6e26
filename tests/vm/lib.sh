# SPDX-License-Identifier: GPL-2.0
#
# What the scripts that run in a virtual machine have in common.

# shellcheck disable=SC2034 # its readers are in other files
MODULE=rust_dma_heap
# It is there in a kernel that looks for leaks.
KMEMLEAK=/sys/kernel/debug/kmemleak
# The same for one that checks how drivers use the DMA API.
DMA_API=/sys/kernel/debug/dma-api
[ -d /run/lab ] || mkdir -p /run/lab

# shellcheck source=tests/vm/lib/kernel-log.sh
. /lab/lib/kernel-log.sh
# shellcheck source=tests/vm/lib/traces.sh
. /lab/lib/traces.sh
# shellcheck source=tests/vm/lib/heaps.sh
. /lab/lib/heaps.sh
# shellcheck source=tests/vm/lib/modules.sh
. /lab/lib/modules.sh
# shellcheck source=tests/vm/lib/tap.sh
. /lab/lib/tap.sh
# shellcheck source=tests/vm/lib/run-test.sh
. /lab/lib/run-test.sh
