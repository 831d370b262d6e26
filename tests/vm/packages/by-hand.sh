# SPDX-License-Identifier: GPL-2.0
#
# The commands of docs/install.md for the source. The build folder is there already: on arm64
# the one that DKMS has made for its build, for to make it once more takes as long as that; on
# amd64 the one of chroot-by-hand.sh.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
commands=/lab/documents/source.sh
plan $(($(grep -vc '^#' $commands) + 4))

rmmod rust_dma_heap
ok $? "the module of the package can be unloaded"
unpack_source
cd /root/source || exit
grep -v '^#' $commands >/run/lab/source
while read -r line <&3; do
	# shellcheck disable=SC2086 # words
	try $line
done 3</run/lab/source
loaded
ok $? "modprobe loads what make install has installed"
rmmod rust_dma_heap
ok $? "it can be unloaded"
installed=/lib/modules/$(uname -r)/updates/rust_dma_heap.ko
rm "$installed" && depmod
ok $? "nothing else is to be removed"
finish
