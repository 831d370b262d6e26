# SPDX-License-Identifier: GPL-2.0
#
# The kernel takes signed modules only, and does not know DKMS's key.

# shellcheck source=tests/vm/packages.sh
. /lab/packages.sh
run_test refused 300 sh /lab/packages-do-refused.sh
