# SPDX-License-Identifier: GPL-2.0
#
# In a chroot: a newer version of our packages.

# shellcheck source=tests/vm/packages.sh
. /lab/packages.sh
run_test upgrade 1800 sh /lab/packages-do-chroot-upgrade.sh
