# SPDX-License-Identifier: GPL-2.0
#
# Programs that may not open everything find our heaps by the names that were written for
# the kernel's: units, containers, profiles. The commands are those of docs/confinement.md.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
documents=/lab/documents
evidence=/run/lab/said
plan 13

said() { "$@" >/run/lab/said 2>&1 </dev/null; }
# refused_as COMMAND...: it fails for want of a right.
refused_as() { ! said "$@" && grep -qE 'not permitted|Permission denied' /run/lab/said; }

diag "$(dpkg-query -W systemd podman apparmor | xargs)"
load_module
udevadm settle
cp /lab/dmaheap /usr/local/bin/

said sh -ex $documents/unit.sh
ok $? "a unit with DeviceAllow=char-dma_heap allocates"
refused_as systemd-run --pipe --wait -p DevicePolicy=closed dmaheap alloc linux,cma 64K --hold 1ms
ok $? "without it, it does not"
is "the region has the name of the kernel's" "$(grep -c ' dma_heap$' /proc/devices)" \
	"$([ -e /sys/class/rust_dma_heap ] && [ -e /sys/class/dma_heap ] && echo 2 || echo 1)"

# An image of one program. (The kernel's modules are those of the lab, without overlayfs.)
printf '[storage]\ndriver = "vfs"\nrunroot = "/run/containers"\ngraphroot = "/var/lib/containers"\n' >/etc/containers/storage.conf
echo "127.0.0.1 debian" >>/etc/hosts
mkdir -p /run/lab/image/dev /run/lab/image/etc
cp /lab/dmaheap /run/lab/image/
tar -C /run/lab/image -cf /run/lab/image.tar .
said podman import /run/lab/image.tar localhost/heaps
ok $? "there is an image"
said sh -ex $documents/podman.sh
ok $? "containers with --device allocate"
podman run --rm --network=none --device /dev/dma_heap localhost/heaps /dmaheap list --json \
	>/run/lab/said 2>/run/lab/errors
ok $? "dmaheap list runs in one"
is "the directory has every heap, with the compatible names" \
	"$(sed -n 's/^ *"name": "\(.*\)",/\1/p' /run/lab/said | sort | xargs)" \
	"$(ls /sys/class/rust_dma_heap /sys/class/dma_heap 2>/dev/null | grep -v : | sed '/^$/d' | sort -u | xargs)"
grep -q '"linux,cma"' /run/lab/said
ok $? "linux,cma among them"
refused_as podman run --rm --network=none -v /dev/dma_heap:/dev/dma_heap localhost/heaps \
	/dmaheap alloc linux,cma 64K --hold 1ms
ok $? "a node that was not given is refused, as the kernel's would be"

is "AppArmor is on" "$(cat /sys/module/apparmor/parameters/enabled)" Y
said sh -ex $documents/apparmor.sh
ok $? "a profile that has linux,cma alone lets it be opened"
refused_as aa-exec -p heap-of-the-camera -- dmaheap alloc default_cma_region 64K --hold 1ms
ok $? "but not by another path"
unload_module
udevadm settle
is "the names go with the module" "$(leads_to linux,cma)" none
finish
