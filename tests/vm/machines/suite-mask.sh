# SPDX-License-Identifier: GPL-2.0
#
# What is tested where edu alone gets bounce buffers: it has 32 address bits, and
# the memory above those is used first.

importer_parameters=edu_mask_bits=32
# shellcheck source=tests/vm/machines/suite.sh
. /lab/machines/suite.sh
run_test bounce-buffers 30 sh /lab/tests/bounce-buffers.sh
