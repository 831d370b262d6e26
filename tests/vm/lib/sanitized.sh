# SPDX-License-Identifier: GPL-2.0
#
# For the scripts of make sanitize's machines: what they have in common. Read it
# first, and end with sanitized_end.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

# An emulated processor that checks every access is several times as slow.
export DMAHEAP_PATIENCE=5

# The kernel's own heaps trip the checks of the DMA API.
# shellcheck disable=SC2034 # suite.sh reads it
only_ours=y

# Unloads what is loaded, and tests that nothing was left behind.
sanitized_end() { run_test leaks 120 sh /lab/tests/leaks.sh; }
