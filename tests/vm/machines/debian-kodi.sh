# SPDX-License-Identifier: GPL-2.0
#
# Kodi, as Debian ships it, on our heaps. Runs in a machine with a Debian root.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

use_rules
load_module
udevadm settle
run_test kodi 900 sh /lab/debian/kodi.sh
unload_module
