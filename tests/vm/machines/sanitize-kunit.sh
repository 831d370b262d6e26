# SPDX-License-Identifier: GPL-2.0
#
# The module's KUnit tests, on the kernel with sanitizers: loading it runs them.

# shellcheck source=tests/vm/lib/sanitized.sh
. /lab/lib/sanitized.sh
# shellcheck source=tests/vm/machines/kunit.sh
. /lab/machines/kunit.sh
sanitized_end
