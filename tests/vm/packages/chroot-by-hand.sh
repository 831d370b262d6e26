# SPDX-License-Identifier: GPL-2.0
#
# make kdir and make, of somebody who has no source of the kernel: it is fetched.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
plan 7

use_repository
unpack_source
cd /root/source || exit
apt_run "the kernel's source can be removed" purge "linux-source-$SERIES"
is "and DKMS's module stays" "$(dkms_status "$NEW")" installed
rm -r "/var/lib/rust-dma-heap/kdir/$NEW"
try make kdir "KVERSION=$NEW"
grep -qF "fetching linux-source-$SERIES=$NEW_PACKAGE" "$try_log"
ok $? "the source is fetched"
is "the folder is all that stays" "$(ls -A /var/lib/rust-dma-heap/kdir)" "$NEW"
try make "KVERSION=$NEW"
is "the module is for that kernel" "$(modinfo -F vermagic build/module/rust_dma_heap.ko | cut -d' ' -f1)" "$NEW"
finish
