# SPDX-License-Identifier: GPL-2.0
#
# In a chroot: a newer kernel, whose source comes later.

# shellcheck source=tests/vm/packages.sh
. /lab/packages.sh
run_test kernel 3600 sh /lab/packages-do-chroot-kernel.sh
