# SPDX-License-Identifier: GPL-2.0
#
# What is tested behind an IOMMU only (suite-iommu.sh), where it flushes later: the
# machine for some patches of tests/mutants.

# shellcheck source=tests/vm/machines/suite-iommu.sh
. /lab/machines/suite-iommu.sh
