# SPDX-License-Identifier: GPL-2.0
#
# The kernel was started with the area that GRUB was told of by area-missing.sh.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
plan 2

grep -o ' cma=[^ ]*' /boot/grub/grub.cfg | sort -u >/run/lab/asked
is "this is what GRUB was told" "$(grep -o ' cma=[^ ]*' /proc/cmdline)" "$(cat /run/lab/asked)"
dmaheap doctor >/run/lab/said 2>&1
ok $? "doctor misses nothing" /run/lab/said
finish
