# SPDX-License-Identifier: GPL-2.0
#
# It is refused, and it is said what to do.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
plan 4

is "the kernel wants signatures" "$(cat /sys/module/module/parameters/sig_enforce)" Y
! loaded
ok $? "the module is not loaded at boot"
for load in /usr/src/rust-dma-heap-*/tools/machine/load; do
	! "$load" >/run/lab/load 2>&1 && ! loaded
	ok $? "nor by hand"
done
grep -q 'mokutil --import /var/lib/dkms/mok.pub' /run/lab/load
ok $? "which says how the machine comes to know the key" /run/lab/load
finish
