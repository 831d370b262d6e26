# SPDX-License-Identifier: GPL-2.0
#
# The same where nothing is kept warm: KASAN sees no use after free in a block
# that the pool holds, for to the kernel it is not free.

export pool_cap=0
# shellcheck source=tests/vm/machines/sanitize-suite.sh
. /lab/machines/sanitize-suite.sh
