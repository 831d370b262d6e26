# SPDX-License-Identifier: GPL-2.0
#
# What is tested where every device gets a bounce buffer: all of an ordinary boot.

# The kernel's own heaps have entries that no bounce buffer takes.
only_ours=y
# shellcheck source=tests/vm/machines/suite.sh
. /lab/machines/suite.sh
run_test bounce-buffers 30 sh /lab/tests/bounce-buffers.sh
