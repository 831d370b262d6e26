# SPDX-License-Identifier: GPL-2.0
#
# The kernel does not zero what it allocates: else a test of zeroing says little.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
grep -q init_on_alloc=0 /proc/cmdline || skip_all "the kernel zeroes what it allocates: in suite-zeroing it does not"
plan 1

line=$(dmesg | grep 'mem auto-init:')
case $line in
*'heap alloc:off'*) ok 0 "the kernel does not zero memory on allocation" ;;
*)
	ok 1 "the kernel does not zero memory on allocation"
	diag "${line:-the log does not say}"
	;;
esac
finish
