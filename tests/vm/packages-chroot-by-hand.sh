# SPDX-License-Identifier: GPL-2.0
#
# In a chroot: from the source.

# shellcheck source=tests/vm/packages.sh
. /lab/packages.sh
run_test by-hand 3600 sh /lab/packages-do-chroot-by-hand.sh
