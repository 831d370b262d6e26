# SPDX-License-Identifier: GPL-2.0
#
# The commands of README for the installation, up to the reboot, in a fresh Debian root. The
# packages in the working directory stand for those that somebody has built or downloaded.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
plan 5

use_repository
ok $? "apt reads the repository"
# Nobody is there to say yes, and the repository has no more than what is needed.
printf 'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n' \
	>/etc/apt/apt.conf.d/90documents
mkdir -p /root/download
cp "/srv/repository/debs/rust-dma-heap-dkms_${VERSION}_"*.deb "/srv/repository/debs/dmaheap_${VERSION}_"*.deb /root/download/
cd /root/download || exit
try bash -ex /lab/documents/install.sh
is "DKMS has built and installed the module" "$(dkms_status "$NEW")" installed
apt_run "GRUB comes, for what follows" install grub2-common
is "nothing is missing" "$(ls /var/lib/rust-dma-heap)" kdir
finish
