# SPDX-License-Identifier: GPL-2.0
#
# make kdir, make, make load, dmaheap verify, make unload, from the source. The folder is
# the one that DKMS has made for its build; to make it once more takes as long as that.

# shellcheck source=tests/vm/packages.sh
. /lab/packages.sh
plan 7

rmmod rust_dma_heap
ok $? "the module of the package can be unloaded"
mkdir -p /root/source
tar -C /root/source -xf /lab/source.tar
cd /root/source || exit
try() {
	begin=$(date +%s)
	"$@" >/run/lab/try 2>&1 </dev/null
	status=$?
	ok $status "$*"
	diag "$(($(date +%s) - begin)) s"
	diag "$(tail -n $((status ? 40 : 6)) /run/lab/try)"
}
try make kdir
try make
try make load
try dmaheap verify
try make unload
! loaded
ok $? "nothing is loaded"
finish
