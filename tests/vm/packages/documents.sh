# SPDX-License-Identifier: GPL-2.0
#
# After the commands of chroot-documents.sh and a boot: the commands that README and docs have
# for such a machine, and README's programs.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
documents=/lab/documents
plan 7

try bash -ex $documents/machine.sh
grep -qx 'CONFIG_RUST=y' "$try_log"
ok $? "the kernel has Rust, as README asks" "$try_log"
grep -q '^default_cma_region *module ' "$try_log"
ok $? "the heaps are listed" "$try_log"
grep -qE '^[1-9][0-9]* passed, 0 failed' "$try_log"
ok $? "and verified" "$try_log"
try gcc -Wall -Werror -o /run/lab/first $documents/first.c
try /run/lab/first
try python3 $documents/first.py
finish
