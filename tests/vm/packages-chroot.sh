# SPDX-License-Identifier: GPL-2.0
#
# packages-chroot.sh NAME: in a chroot, the test packages-chroot-NAME.sh.

# shellcheck source=tests/vm/packages.sh
. /lab/packages.sh
run_test "$1" 1800 sh "/lab/packages-chroot-$1.sh"
