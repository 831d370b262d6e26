# SPDX-License-Identifier: GPL-2.0
#
# A boot of a root where our packages are installed: the heaps are up, and may be in use while
# the packages are upgraded. What goes wrong then is found and mended.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
run_test heaps 600 sh /lab/packages/heaps.sh
run_test upgrade-in-use 600 sh /lab/packages/upgrade-in-use.sh
run_test autopkgtest 1200 sh /lab/packages/autopkgtest.sh
run_test doctor 1200 sh /lab/packages/doctor.sh
