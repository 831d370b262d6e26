# SPDX-License-Identifier: GPL-2.0
#
# All that is tested in an ordinary boot, on the kernel with sanitizers and
# behind an IOMMU.

# shellcheck source=tests/vm/sanitized.sh
. /lab/sanitized.sh
# shellcheck source=tests/vm/suite.sh
. /lab/suite.sh
sanitized_end
