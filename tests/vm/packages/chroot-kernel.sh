# SPDX-License-Identifier: GPL-2.0
#
# The update of the kernel from $OLD to $NEW, whose source comes later.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
plan 11

use_repository
# (Of itself, apt brings along, here and below, what is of the same source package.)
apt_run "a newer kernel can be installed before its source" \
	-o APT::Get::Upgrade-By-Source-Package=false install "linux-image-$NEW" "linux-headers-$NEW"
said "it is said for which kernel the module is not there" "^rust_dma_heap is missing for the kernel $(echo "$NEW" | sed 's/[+.]/[&]/g'):"
said "and which package is missing" "apt install linux-source-$SERIES=$(echo "$NEW_PACKAGE" | sed 's/[+.]/[&]/g')"
# What DKMS says of a kernel that it has built nothing for.
is "DKMS has not built it" "$(dkms_status "$NEW")" added
is "the older kernel's is as it was" "$(dkms_status "$OLD")" installed
apt_run "the source can be installed" -o APT::Get::Upgrade-By-Source-Package=false \
	install "linux-source-$SERIES=$NEW_PACKAGE"
is "which has DKMS build the module" "$(dkms_status "$NEW")" installed
is "and nothing is missing any more" "$(ls /var/lib/rust-dma-heap)" kdir
apt_run "the older kernel can be removed" purge "linux-image-$OLD" "linux-headers-$OLD" "linux-modules-$OLD" "linux-binary-$OLD" "linux-base-$OLD"
is "with DKMS's module for it" "$(dkms_status "$OLD")" added
is "and its build folder" "$(ls /var/lib/rust-dma-heap/kdir)" "$NEW"
finish
