# SPDX-License-Identifier: GPL-2.0
#
# All that is tested in an ordinary boot, and what is tested behind an IOMMU only.

# shellcheck source=tests/vm/machines/suite.sh
. /lab/machines/suite.sh
# shellcheck source=tests/vm/machines/suite-iommu.sh
. /lab/machines/suite-iommu.sh
