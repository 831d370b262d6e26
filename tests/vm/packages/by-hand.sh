# SPDX-License-Identifier: GPL-2.0
#
# make kdir, make, make load, dmaheap verify, make unload, from the source. The folder is
# there already: on arm64 the one that DKMS has made for its build, for to make it once
# more takes as long as that; on amd64 the one of chroot-by-hand.sh.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
plan 7

rmmod rust_dma_heap
ok $? "the module of the package can be unloaded"
unpack_source
cd /root/source || exit
try make kdir
try make
try make load
try dmaheap verify
try make unload
! loaded
ok $? "nothing is loaded"
finish
