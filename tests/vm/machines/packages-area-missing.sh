# SPDX-License-Identifier: GPL-2.0
#
# A boot without a contiguous area.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
run_test area-missing 300 sh /lab/packages/area-missing.sh
