# SPDX-License-Identifier: GPL-2.0
#
# What is tested in a boot without a contiguous area.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
run_test nocma 120 sh /lab/nocma.sh
load_module
run_test verify 300 sh /lab/verify.sh
unload_module
