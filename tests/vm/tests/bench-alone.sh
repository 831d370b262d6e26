# SPDX-License-Identifier: GPL-2.0
#
# dmaheap bench measures a heap alone that the kernel has none to compare with, and takes no
# longer than people wait.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
own_heaps | grep -qx default_cma_region ||
	skip_all "the kernel has a CMA heap of its own: bench has it"
evidence="/run/lab/bench /run/lab/errors"
plan 6

now() { cut -d. -f1 /proc/uptime; }

begin=$(now)
dmaheap bench >/run/lab/bench 2>/run/lab/errors
is "dmaheap bench" $? 0
# On a machine it is less than 20 seconds. An emulated one, on a busy host, may have to wait for a
# minute until it is at rest.
at_least "takes no longer" "$((150 * ${DMAHEAP_PATIENCE:-1} - $(now) + begin))" 0
is "says in a line what it has nothing to compare with" \
	"$(grep -c 'no heap of its own to compare with .*default_cma_region' /run/lab/errors)" 1
is "has measured that" "$(grep -c '^default_cma_region ' /run/lab/bench)" 7

dmaheap bench default_cma_region --time 10ms >/run/lab/bench 2>/run/lab/errors
is "of one heap" "$?:$(grep -c '^[a-z].* alloc-close warm ' /run/lab/bench)" 0:3
! grep -qw RATIO /run/lab/bench && grep -q QUARTILES /run/lab/bench
ok $? "there is no ratio, but there are quartiles"
finish
