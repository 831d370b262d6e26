#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# root-make.sh DIR [MIRROR...]: makes the lab's Debian root in DIR, from the
# first mirror that has the suite, else from debootstrap's own default.
#
# The caller puts it into a mount namespace of its own. DIR is a temporary name:
# only a complete root is renamed to its final one.

set -euo pipefail

SUITE=trixie
here=$(dirname "$(readlink -f "$0")")
dir=$1
shift
# shellcheck source=tests/lab/common.sh
. "$here/common.sh"
# shellcheck source=tests/lab/host.sh
. "$here/host.sh"

# debootstrap knows proxies from the environment only, this machine's apt perhaps
# from its own configuration.
if [ -z "${http_proxy:-}" ]; then
	eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
	[ -z "${http_proxy:-}" ] || export http_proxy
	[ -z "${https_proxy:-}" ] || export https_proxy
fi

bootstrap() {
	rm -rf --one-file-system "$dir"
	timeout 900 debootstrap --variant=minbase "$SUITE" "$dir" "$@"
}

made=
for mirror; do
	if bootstrap "$mirror"; then
		made=y
		break
	fi
	echo "no $SUITE from this machine's mirror $mirror, trying the next"
done
[ -n "$made" ] || bootstrap

# Kernels come from backports, on the mirror that debootstrap has used. i386 is
# there for a Rust standard library only.
read -r _ mirror _ <"$dir/etc/apt/sources.list"
cat >"$dir/etc/apt/sources.list" <<EOF
deb [arch=amd64,arm64,i386] $mirror $SUITE main
deb [arch=amd64,arm64] $mirror $SUITE-backports main
EOF

# Nothing in the root outlives a crash of the machine, so it needs no fsync.
echo force-unsafe-io >"$dir/etc/dpkg/dpkg.cfg.d/lab"
printf 'path-exclude=/usr/share/%s/*\n' doc man locale info >>"$dir/etc/dpkg/dpkg.cfg.d/lab"
cat >"$dir/etc/apt/apt.conf.d/90lab" <<'EOF'
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
EOF
printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"
chmod 755 "$dir/usr/sbin/policy-rc.d"

host_configure_root "$dir"
mount -t proc proc "$dir/proc"
chroot "$dir" dpkg --add-architecture arm64
chroot "$dir" dpkg --add-architecture i386
timeout 900 chroot "$dir" apt-get -q update
touch "$dir/var/lib/apt/lists/lab-stamp"
mapfile -t packages < <(sed 's/#.*//' "$here/packages" | tr -s ' \t' '\n' | grep .)
DEBIAN_FRONTEND=noninteractive timeout 1800 chroot "$dir" apt-get -q -y install "${packages[@]}"
# Rust's standard library for other architectures: the archives alone. Installed
# as packages they would bring a compiler each.
chroot "$dir" sh -euc '
	cd /tmp
	apt-get -q -o APT::Sandbox::User=root download libstd-rust-dev:arm64 libstd-rust-dev:i386
	find . -name "*.deb" -exec dpkg-deb -x {} / \; -delete'
chroot "$dir" apt-get -q clean
umount "$dir/proc"
