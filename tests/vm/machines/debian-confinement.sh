# SPDX-License-Identifier: GPL-2.0
#
# What confines programs, as Debian ships it, on our heaps, and the mode for desktops. Runs
# in a machine with a Debian root.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

use_rules
run_test confinement 600 sh /lab/debian/confinement.sh
run_test desktop 600 sh /lab/debian/desktop.sh
unload_module
