# SPDX-License-Identifier: GPL-2.0
#
# in-chroot.sh NAME: in a chroot, the test chroot-NAME.sh.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
run_test "$1" 1800 sh "/lab/packages/chroot-$1.sh"
