# SPDX-License-Identifier: GPL-2.0
#
# A boot of a root where our packages are installed: the heaps are up. Then the module is
# built by hand, with the folder that is there, and the packages are purged.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh

run_test heaps 600 sh /lab/packages/heaps.sh
[ ! -e /lab/source.tar ] || run_test by-hand 3000 sh /lab/packages/by-hand.sh
run_test purge 1200 sh /lab/packages/purge.sh
