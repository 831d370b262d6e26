# SPDX-License-Identifier: GPL-2.0
#
# What is tested where every device gets a bounce buffer: all of an ordinary boot.

# The kernel's own heaps have entries that no bounce buffer takes.
only_ours=y
# shellcheck source=tests/vm/suite.sh
. /lab/suite.sh
run_test bounced 30 sh /lab/bounced.sh
