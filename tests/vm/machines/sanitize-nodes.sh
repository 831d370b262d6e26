# SPDX-License-Identifier: GPL-2.0
#
# What is tested in a machine of two NUMA nodes, on the kernel with sanitizers.

# shellcheck source=tests/vm/lib/sanitized.sh
. /lab/lib/sanitized.sh
# shellcheck source=tests/vm/machines/suite-nodes.sh
. /lab/machines/suite-nodes.sh
sanitized_end
