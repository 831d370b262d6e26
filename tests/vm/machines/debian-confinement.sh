# SPDX-License-Identifier: GPL-2.0
#
# What confines programs, as Debian ships it, on our heaps, the mode for desktops, and what
# perf sees. Runs in a machine with a Debian root.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

use_rules
run_test confinement 600 sh /lab/debian/confinement.sh
run_test desktop 600 sh /lab/debian/desktop.sh
run_test perf 600 sh /lab/debian/perf.sh
unload_module
