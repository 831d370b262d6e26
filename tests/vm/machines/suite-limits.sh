# SPDX-License-Identifier: GPL-2.0
#
# What the heaps' limits are at first, in a machine whose default contiguous area is
# larger than what a user might have of its memory.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

run_test limits 120 sh /lab/tests/limits.sh
