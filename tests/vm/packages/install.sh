# SPDX-License-Identifier: GPL-2.0
#
# The installation itself.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
release=$(uname -r)
plan 8

use_repository
ok $? "apt reads the repository"
apt_run "the kernel, its headers and our packages can be installed" install \
	"linux-image-$release" "linux-headers-$release" rust-dma-heap-dkms dmaheap dmaheap-kselftest
is "DKMS has built and installed the module" "$(dkms_status "$release")" installed
# Where a build has failed, its log is in the second place.
diag "$(cat /var/lib/dkms/rust-dma-heap/*/"$release"/*/log/make.log /var/lib/dkms/rust-dma-heap/*/build/make.log 2>/dev/null |
	grep -E 'elapsed time|Running the|Building module|# command|[Ee]rror|cannot')"
is "with the folder of make kdir" "$(ls /var/lib/rust-dma-heap/kdir)" "$release"
diag "$(du -sm /var/lib/rust-dma-heap/kdir/* | xargs) MiB"
is "nothing is missing" "$(ls /var/lib/rust-dma-heap)" kdir
modinfo rust_dma_heap | grep -qE '^(sig_id|signer): '
ok $? "the module is signed"
loaded
ok $? "and loaded at once"
[ -e /usr/share/man/man1/dmaheap.1.gz ] || [ -e /etc/dpkg/dpkg.cfg.d/lab ]
dmaheap --version >/dev/null
ok $? "dmaheap runs"
finish
