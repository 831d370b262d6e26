# SPDX-License-Identifier: GPL-2.0
#
# Installs our packages in a fresh Debian root, with all that they depend on and the
# headers of the running stock kernel.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh

run_test install 10000 sh /lab/packages/install.sh
run_test heaps 600 sh /lab/packages/heaps.sh
