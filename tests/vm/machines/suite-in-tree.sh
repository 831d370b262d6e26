# SPDX-License-Identifier: GPL-2.0
#
# All that is tested in an ordinary boot, with the module of a kernel that has this
# tree in its source.

# shellcheck source=tests/vm/machines/suite.sh
. /lab/machines/suite.sh
