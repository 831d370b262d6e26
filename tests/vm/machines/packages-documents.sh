# SPDX-License-Identifier: GPL-2.0
#
# A boot of a root where our packages were installed by the commands of README.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
run_test heaps 600 sh /lab/packages/heaps.sh
run_test documents 900 sh /lab/packages/documents.sh
