# SPDX-License-Identifier: GPL-2.0
#
# It is refused, and it is said what to do. A module without any signature gets one, by the
# command that doctor has for it; the machine packages-enrolled loads what becomes of it.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
said=/run/lab/said
file=$(modinfo -n rust_dma_heap)
plan 9

is "the kernel wants signatures" "$(cat /sys/module/module/parameters/sig_enforce)" Y
! loaded
ok $? "the module is not loaded at boot"
for load in /usr/src/rust-dma-heap-*/tools/machine/load; do
	! "$load" >/run/lab/load 2>&1 && ! loaded
	ok $? "nor by hand"
done
grep -q 'mokutil --import /var/lib/dkms/mok.pub' /run/lab/load
ok $? "which says how the machine comes to know the key" /run/lab/load

dmaheap doctor >$said 2>&1
is "doctor has one problem" "$?:$(grep -c ^problem $said)" 1:1
grep -A 1 '^problem  signature .*trusts DKMS' $said | grep -q 'sudo mokutil --import /var/lib/dkms/mok.pub'
ok $? "the same, with the same command" $said

# As make leaves it: what copies a module drops what stands behind it.
xz -d "$file" && file=${file%.xz} && objcopy "$file" && depmod
dmaheap doctor >$said 2>&1
sed -n "/^problem  signature .* is not signed/ { n; s/^ *//p }" $said >/run/lab/remedy
grep -q "$file" /run/lab/remedy
ok $? "a module without a signature is named, with what gives it one" $said
try bash -ex /run/lab/remedy
! dmaheap doctor >$said 2>&1 && ! grep -q 'is not signed' $said && modinfo "$file" | grep -q '^signer: *DKMS'
ok $? "so it is signed" $said
finish
