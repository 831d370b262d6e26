# SPDX-License-Identifier: GPL-2.0
#
# dmaheap doctor on this machine, in order and broken: the commands that it has for each problem
# are run by the user who asked, and then it is mended.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
release=$(uname -r)
said=/run/lab/said
remedy=/run/lab/remedy
evidence="$said $remedy"
plan 18

as_patient() { runuser -l patient -c "$1" </dev/null; }

# ill TEXT PART: doctor says PART of a problem. Its command is in $remedy.
ill() {
	as_patient 'dmaheap doctor' >$said 2>&1
	[ $? -eq 1 ] && sed -n "\|^problem .*$2| { n; s/^ *//p }" $said >$remedy && [ -s $remedy ]
	ok $? "$1"
}

# mends TEXT: the command, and nothing is wrong any more.
mends() {
	as_patient "bash -ex $remedy" >$try_log 2>&1
	ok $? "$1: $(cat $remedy)" $try_log
	udevadm settle
	as_patient 'dmaheap doctor' >$said 2>&1
	ok $? "and all is well"
}

useradd --create-home --shell /bin/bash patient
echo 'patient ALL = NOPASSWD: ALL' >/etc/sudoers.d/patient
loaded || modprobe rust_dma_heap
udevadm settle
dmaheap doctor >$said 2>&1
ok $? "for root all is well"

ill "a user who may not open the nodes" "you may not open .*: the group video may"
mends "joins the group"

chmod 600 /dev/dma_heap/default_cma_region
chgrp root /dev/dma_heap/default_cma_region
ill "a node that only root may open" "you may not open default_cma_region: only root may"
mends "gets its rights again"

modprobe -r rust_dma_heap
udevadm settle
mkdir -p /dev/dma_heap
echo frames >/dev/dma_heap/default_cma_region
ill "a name that is taken" "/dev/dma_heap/default_cma_region already exists and is a file"
mends "is free again"

modprobe -r rust_dma_heap
version=$(dpkg-query -W -f '${Version}' rust-dma-heap-dkms)
dkms uninstall -m rust-dma-heap -v "$version" -k "$release" >$try_log 2>&1
ok $? "DKMS takes the module away" $try_log
apt_run "the kernel's headers are removed" purge "linux-headers-$release"
ill "a kernel without headers" "the headers of the kernel $release are not installed"
# What chroot-install.sh has left there, under the name that apt has for it.
mount --bind /var/cache/headers /srv/repository
sed -i 's/apt install/apt install -y -o APT::Sandbox::User=root/' $remedy
as_patient "bash -ex $remedy" >$try_log 2>&1
ok $? "gets them: $(cat $remedy)" $try_log
umount /srv/repository
is "and DKMS installs the module" "$(dkms_status "$release")" installed
# It is loaded at once.
udevadm settle
! loaded || modprobe -r rust_dma_heap
udevadm settle
ill "which is not loaded yet" "is installed .*, but not loaded"
mends "and is now"
finish
