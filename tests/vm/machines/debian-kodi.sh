# SPDX-License-Identifier: GPL-2.0
#
# Kodi, as Debian ships it, on our heaps. Runs in a machine with a Debian root.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

cp /lab/60-rust-dma-heap.rules /etc/udev/rules.d/
udevadm control --reload
load_module
udevadm settle
run_test kodi 900 sh /lab/debian/kodi.sh
unload_module
