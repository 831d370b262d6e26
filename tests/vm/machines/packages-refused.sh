# SPDX-License-Identifier: GPL-2.0
#
# The kernel takes signed modules only, and does not know DKMS's key.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
run_test signature-refused 900 sh /lab/packages/signature-refused.sh
