# SPDX-License-Identifier: GPL-2.0
#
# What is tested in a machine of two NUMA nodes, on the kernel with sanitizers.

# shellcheck source=tests/vm/sanitized.sh
. /lab/sanitized.sh
# shellcheck source=tests/vm/suite-nodes.sh
. /lab/suite-nodes.sh
sanitized_end
