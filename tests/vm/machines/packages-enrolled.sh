# SPDX-License-Identifier: GPL-2.0
#
# The kernel takes signed modules only, and finds DKMS's key in the UEFI's db.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
run_test signature-accepted 300 sh /lab/packages/signature-accepted.sh
run_test heaps 300 sh /lab/packages/heaps.sh
