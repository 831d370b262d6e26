# SPDX-License-Identifier: GPL-2.0
#
# The same in a machine whose device tree reserves its default contiguous area, of 320
# MiB, and another one.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

run_test limits 120 sh /lab/tests/limits.sh 335544320
