# SPDX-License-Identifier: GPL-2.0
#
# What is tested behind an IOMMU that flushes later, for many mappings at once.

# shellcheck source=tests/vm/machines/suite.sh
. /lab/machines/suite.sh
# shellcheck source=tests/vm/machines/suite-iommu.sh
. /lab/machines/suite-iommu.sh
