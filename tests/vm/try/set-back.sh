# SPDX-License-Identifier: GPL-2.0
#
# What earlier requests have left goes.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
# shellcheck source=tests/vm/lib/set-back.sh
. /lab/lib/set-back.sh
set_back
