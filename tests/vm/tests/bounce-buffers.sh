# SPDX-License-Identifier: GPL-2.0
#
# Bounce buffers were in use since boot: else a boot with them says little.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
grep -q swiotlb= /proc/cmdline || skip_all "nothing has to bounce: in suite-swiotlb all devices do"
plan 1

most=$(cat /sys/kernel/debug/swiotlb/io_tlb_used_hiwater 2>&1)
[ "$most" -gt 0 ] 2>/dev/null
ok $? "devices used bounce buffers"
[ "$failures" -eq 0 ] || diag "in use at most: $most"
finish
