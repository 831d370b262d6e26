# SPDX-License-Identifier: GPL-2.0
#
# Purges our packages, with the heaps up, by the command of docs/install.md: nothing of them may
# be left.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
release=$(uname -r)
plan 10

loaded || modprobe rust_dma_heap
udevadm settle
# Nobody is there to say yes.
echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/90documents
try bash -ex /lab/documents/remove.sh
apt_run "the test program can be purged" purge dmaheap-kselftest
udevadm settle
! loaded
ok $? "the module is unloaded"
is "no node or name is left" "$(ls -d /dev/dma_heap 2>/dev/null && ls /dev/dma_heap | grep -vx system)" "$([ ! -e /sys/class/dma_heap/system ] || echo /dev/dma_heap)"
! modinfo rust_dma_heap >/dev/null 2>&1
ok $? "modprobe does not know it"
is "no module is left" "$(find /usr/lib/modules -name 'rust_dma_heap*')" ""
! grep -qs rust_dma_heap "/usr/lib/modules/$release/modules.dep"
ok $? "nor in depmod's lists"
is "DKMS does not know it" "$(dkms status -m rust-dma-heap)" ""
is "no folder or file is left" "$(find / -xdev \( -path /proc -o -path /sys -o -path /lab -o -path /run -o -path /srv -o -path /root -o -path /tmp \) -prune -o \( -name '*rust-dma-heap*' -o -name '*rust_dma_heap*' -o -name '*dmaheap*' \) -print 2>/dev/null | grep -v '^/var/log/')" ""
is "dpkg does not know them" "$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' 'rust-dma-heap*' 'dmaheap*' 2>/dev/null | grep -v not-installed)" ""
finish
