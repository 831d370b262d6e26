# SPDX-License-Identifier: GPL-2.0
#
# Of what an ordinary boot tests (suite.sh), that which loads the module with a
# heap of its own kind, and again and again: the machine for some patches of
# tests/mutants.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
run_test load-refused 300 sh /lab/tests/load-refused.sh
run_test carveout 300 sh /lab/tests/carveout.sh
run_test reload 300 sh /lab/tests/reload.sh
