# SPDX-License-Identifier: GPL-2.0
#
# Programs of Debian, as it ships them, on our heaps, and the udev rules by which
# they find those. Runs in a machine with a Debian root.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

use_rules
useradd --create-home --groups video viewer

run_test udev 600 sh /lab/debian/udev.sh
load_module
udevadm settle
run_test libcamera 600 sh /lab/debian/libcamera.sh
run_test gstreamer 600 sh /lab/debian/gstreamer.sh
unload_module
