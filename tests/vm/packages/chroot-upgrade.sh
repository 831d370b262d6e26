# SPDX-License-Identifier: GPL-2.0
#
# The upgrade from $VERSION to the newest in the repository.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
plan 5

use_repository
made=$(stat -c %Y "/var/lib/rust-dma-heap/kdir/$OLD/made-from")
apt_run "our packages can be upgraded" install rust-dma-heap-dkms dmaheap dmaheap-kselftest
is "DKMS has the newer version alone" "$(dkms status -m rust-dma-heap | cut -d, -f1)" "rust-dma-heap/$VERSION+1"
is "and has built it" "$(dkms_status "$OLD")" installed
is "the older one's source is gone" "$(cd /usr/src && echo rust-dma-heap-*)" "rust-dma-heap-$VERSION+1"
is "the build folder is the same" "$(stat -c %Y "/var/lib/rust-dma-heap/kdir/$OLD/made-from")" "$made"
finish
