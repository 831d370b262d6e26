# SPDX-License-Identifier: GPL-2.0
#
# The kernel was started without a contiguous area: doctor's command writes GRUB's settings. The
# machine packages-area-there is started as they say.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
said=/run/lab/said
remedy=/run/lab/remedy
plan 4

is "there is no area" "$(grep ^CmaTotal /proc/meminfo | tr -dc 0-9)" 0
# QEMU has started the kernel, so GRUB has its settings from here.
cp /usr/share/grub/default/grub /etc/default/grub
mkdir -p /boot/grub
dmaheap doctor >$said 2>&1
sed -n '/^problem .*no default contiguous area/ { n; s/^ *//p }' $said >$remedy
grep -q ' && sudo reboot$' $remedy
ok $? "doctor misses it, and has a command" $said
sed -i 's/ && sudo reboot$//' $remedy
try bash -ex $remedy
grep "^[[:space:]]*linux[[:space:]].*/vmlinuz-$(uname -r) " /boot/grub/grub.cfg >/run/lab/entries
grep -q ' cma=64M' /run/lab/entries
ok $? "GRUB starts this kernel with an area" /boot/grub/grub.cfg
finish
