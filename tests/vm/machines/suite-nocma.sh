# SPDX-License-Identifier: GPL-2.0
#
# What is tested in a boot without a contiguous area.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
run_test no-cma 120 sh /lab/tests/no-cma.sh
load_module
run_test verify 300 sh /lab/tests/verify.sh
unload_module
