# SPDX-License-Identifier: GPL-2.0
#
# A boot of a root where our packages are installed: the heaps are up.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
run_test heaps 600 sh /lab/packages/heaps.sh
