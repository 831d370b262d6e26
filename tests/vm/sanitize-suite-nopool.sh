# SPDX-License-Identifier: GPL-2.0
#
# The same where nothing is kept warm: KASAN sees no use after free in a block
# that the pool holds, for to the kernel it is not free.

export pool_cap=0
# shellcheck source=tests/vm/sanitize-suite.sh
. /lab/sanitize-suite.sh
