# SPDX-License-Identifier: GPL-2.0
#
# In a chroot: an older kernel, and our packages.

# shellcheck source=tests/vm/packages.sh
. /lab/packages.sh
run_test install 3600 sh /lab/packages-do-chroot-install.sh
