# SPDX-License-Identifier: GPL-2.0
#
# What init does in a machine with a Debian root on its first disk: goes on there,
# with systemd, which runs debian-job.sh in the end.

modprobe virtio_blk
modprobe ext4
mkdir /target
mount -t ext4 /dev/vda /target || exit
mount -t tmpfs lab /target/lab
cp -a /lab/. /target/lab/
if grep -qw lab.own-modules /proc/cmdline; then
	# Its own are there, or will be. What is loaded at boot is looked at, too.
	echo "<5>lab: the log check begins here" >/dev/kmsg
elif [ -d /lab/modules ]; then
	mount --bind /target/lab/modules /target/usr/lib/modules
fi
for dir in dev proc run sys; do
	mount -o move "/$dir" "/target/$dir"
done

# udev loads drivers; the kernel warns when a busy host lets a console on the screen
# miss a picture.
mkdir -p /target/run/modprobe.d
echo "options drm_kms_helper fbdev_emulation=0" >/target/run/modprobe.d/lab.conf
mkdir -p /target/run/systemd/system/multi-user.target.wants
cat >/target/run/systemd/system/lab.service <<'EOF'
[Unit]
Description=The job of this machine
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/sh /lab/boot/debian-job.sh
EOF
ln -s ../lab.service /target/run/systemd/system/multi-user.target.wants/
exec switch_root /target /sbin/init
