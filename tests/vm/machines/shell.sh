# SPDX-License-Identifier: GPL-2.0
#
# What `make shell` runs: a shell on the console, with the module loaded.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
dmesg -n 4
load_module
echo
echo "rust_dma_heap is loaded. Try: dmaheap list, dmaheap verify, rmmod rust_dma_heap."
echo "exit ends this machine."
sh
