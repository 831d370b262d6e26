# SPDX-License-Identifier: GPL-2.0
#
# What takes minutes: pipelines that run, while their buffers come and go.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

heaps=$(usual_heaps)
# The second camera has the interface for frames in several buffers.
load_stock_importers multiplanar=1,2
load_module
# shellcheck disable=SC2086 # names, one a word
run_test pipelines 900 sh /lab/tests/pipelines.sh 180 $heaps
run_test fences 120 dmaheap-kselftest --only=fences
unload_module
