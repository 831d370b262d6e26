# SPDX-License-Identifier: GPL-2.0
#
# It is loaded.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
plan 4

is "the kernel wants signatures" "$(cat /sys/module/module/parameters/sig_enforce)" Y
loaded
ok $? "the module is loaded at boot"
is "as one whose signature holds" "$(tr -dc E </sys/module/rust_dma_heap/taint)" ""
dmaheap doctor >/run/lab/said 2>&1
ok $? "doctor has no problem" /run/lab/said
finish
