# SPDX-License-Identifier: GPL-2.0
#
# The demonstration with video: a camera that writes by DMA into buffers of the CMA
# heap, and one that writes with the CPU into those of the system heap. Each shows
# other bars.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

load_stock_importers
load_module
for heap in $(own_heaps); do
	case $heap in
	system*) run_test "video-$heap" 120 sh /lab/tests/camera-to-screen.sh "$heap" /dev/video0 3 rows ;;
	*) run_test "video-$heap" 120 sh /lab/tests/camera-to-screen.sh "$heap" /dev/video1 1 columns ;;
	esac
done
unload_module
