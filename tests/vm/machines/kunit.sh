# SPDX-License-Identifier: GPL-2.0
#
# Loading the module is what runs its KUnit tests, where the kernel has KUnit.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
if load_module && unload_module; then
	echo "<5>lab: loaded and unloaded" >/dev/kmsg
fi
