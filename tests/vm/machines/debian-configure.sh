# SPDX-License-Identifier: GPL-2.0
#
# Configures a Debian root of this machine's architecture, on its first disk.

set -e
modprobe virtio_blk
modprobe ext4
mkdir /target
mount -t ext4 /dev/vda /target
mount -t proc proc /target/proc
mount -t devtmpfs dev /target/dev
chroot /target /bin/sh /debs/configure-root
umount /target/dev /target/proc /target
