# SPDX-License-Identifier: GPL-2.0
#
# The module's KUnit tests, on the kernel with sanitizers: loading it runs them.

# shellcheck source=tests/vm/sanitized.sh
. /lab/sanitized.sh
# shellcheck source=tests/vm/kunit.sh
. /lab/kunit.sh
sanitized_end
