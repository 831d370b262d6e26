#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# root-enter.sh ROOT COMMAND...: runs COMMAND in the Debian root. The caller has
# put this script into a mount and process namespace of its own, so whatever is
# mounted here is gone when COMMAND ends, however it ends.
#
# In the root, /lab is the cache and the checkout has the path it has outside,
# so that a compiler's messages name files the user can open. The checkout is
# read-only there, except for build/.

set -euo pipefail

root=$1
shift

mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in null zero full random urandom tty kvm udmabuf; do
	[ -e "/dev/$node" ] || continue
	touch "$root/dev/$node"
	mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mount -t tmpfs shm "$root/dev/shm"
mount -t tmpfs tmp "$root/tmp"

mkdir -p "$root/lab" "$root$SRC"
mount --bind "$LAB_CACHE" "$root/lab"
mount --bind "$SRC" "$root$SRC"
mount --bind "$BUILD" "$root$BUILD"
mount -o remount,bind,ro "$root$SRC"

# As process 1 of its namespace bash would ignore these without a trap.
trap 'exit 130' INT
trap 'exit 143' TERM HUP
rc=0
chroot "$root" "$@" || rc=$?
exit "$rc"
