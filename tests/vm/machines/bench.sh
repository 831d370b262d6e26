# SPDX-License-Identifier: GPL-2.0
#
# bench.sh KIND CONFIG: measures, and prints what `dmaheap-lab bench-report` reads.
# KIND is time, control, count, maps-WHAT or maps-WHAT-count; CONFIG says what machine this is.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
kind=$1
config=$2

load_c_heaps || exit
insmod /lab/dma_buf_test_importer.ko || exit
# An ordinary load, with nothing set: ours get other names than those above.
[ "$kind" = control ] || load_module || exit
# What the C heaps' segments provoke is in the results, and how many of their buffers have such
# segments is chance.
[ "$kind" != maps-bounce ] || expect_log any 'swiotlb buffer is full'

case $kind in
time) set -- --time 3s ;;
# The module has no counterpart of the kernel's other areas.
control) set -- --time 3s --control system default_cma_region ;;
count) set -- --time 3s --icount ;;
maps-*-count) set -- --only map,frame --time 1s --icount ;;
maps-*) set -- --only map,frame --time 1s ;;
esac
dmaheap-lab bench --json --config "$config" "$@" 2>/run/lab/errors
status=$?
# One more line of the run, so that the report has it.
if [ "$status" -ne 0 ] && [ -s /run/lab/errors ]; then
	printf '\n{"failed":"%s"}\n' "$(tr -d '\042\134' </run/lab/errors | tr '\n\t' '  ')"
fi
exit $status
