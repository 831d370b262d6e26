# SPDX-License-Identifier: GPL-2.0
#
# What is tested behind an IOMMU that flushes later, for many mappings at once.

# shellcheck source=tests/vm/suite.sh
. /lab/suite.sh
# shellcheck source=tests/vm/suite-iommu.sh
. /lab/suite-iommu.sh
