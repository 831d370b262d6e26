# SPDX-License-Identifier: GPL-2.0
#
# All that is tested in an ordinary boot, on the kernel with sanitizers and
# behind an IOMMU.

# shellcheck source=tests/vm/lib/sanitized.sh
. /lab/lib/sanitized.sh
# shellcheck source=tests/vm/machines/suite.sh
. /lab/machines/suite.sh
sanitized_end
