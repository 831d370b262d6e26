# SPDX-License-Identifier: GPL-2.0
#
# A boot with the area that a machine without one was told to ask for.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
run_test area-there 300 sh /lab/packages/area-there.sh
run_test heaps 600 sh /lab/packages/heaps.sh
