# SPDX-License-Identifier: GPL-2.0
#
# What the commands of dmaheap print as JSON on a machine at work is as docs/schemas says.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
heap=$(own_heaps | head -n 1)
printed=/run/lab/json
plan 9

# fits COMMAND [ARGUMENT...]: of its values there is at least one.
fits() {
	dmaheap "$@" --json >$printed 2>/run/lab/errors
	dmaheap-lab schema "$1" <$printed >/run/lab/said 2>&1
	ok $? "$1" /run/lab/said /run/lab/errors $printed
}

hold "$heap" 1M
fits list
fits names
fits doctor
fits holders
fits stats
fits alloc "$heap" 64K --count 2 --name frame --hold 0s
fits verify "$heap" --sizes 4K,64K
fits bench "$heap" --only alloc-close,touch --time 10ms
release "$holder"
device=$(ls /sys/bus/pci/devices 2>/dev/null | head -n 1)
if [ -n "$device" ]; then
	fits which "$device"
else
	skip "which" "the machine has no PCI bus"
fi
finish
