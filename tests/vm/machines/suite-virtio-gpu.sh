# SPDX-License-Identifier: GPL-2.0
#
# What is tested where virtio-gpu can give buffers to the machine's host.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
load_stock_importers
modprobe virtio-gpu
load_module
run_test kselftest 120 dmaheap-kselftest --only=graphics
unload_module
