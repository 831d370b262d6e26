# SPDX-License-Identifier: GPL-2.0
#
# The kernel takes signed modules only, and finds DKMS's key in the UEFI's db.

# shellcheck source=tests/vm/packages.sh
. /lab/packages.sh
run_test enrolled 300 sh /lab/packages-do-enrolled.sh
run_test heaps 300 sh /lab/packages-heaps.sh
