# SPDX-License-Identifier: GPL-2.0
#
# The installation of packages in $VERSION on the kernel $OLD.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
plan 7

use_repository
ok $? "apt reads the repository"
apt_run "a kernel with its headers and source can be installed" install \
	"linux-image-$OLD" "linux-headers-$OLD" "linux-source=$OLD_PACKAGE"
apt_run "and our packages" install "rust-dma-heap-dkms=$VERSION" "dmaheap=$VERSION" "dmaheap-kselftest=$VERSION"
is "DKMS has built and installed the module" "$(dkms_status "$OLD")" installed
is "with the folder of make kdir" "$(ls /var/lib/rust-dma-heap/kdir)" "$OLD"
diag "$(du -sm "/var/lib/rust-dma-heap/kdir/$OLD") MiB"
modinfo -k "$OLD" rust_dma_heap | grep -qE '^signer: +DKMS'
ok $? "the module bears DKMS's signature"
is "nothing is missing" "$(ls /var/lib/rust-dma-heap)" kdir
# A machine that loses them (doctor.sh) has no repository.
mkdir -p /var/cache/headers/debs
cp "/srv/repository/debs/linux-headers-${OLD}_"*.deb /var/cache/headers/debs/
# apt has kept links to these.
cp -p /srv/repository/Packages /srv/repository/Release /var/cache/headers/
finish
