#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# root-make.sh SUITE DIR [MIRROR...]: makes the lab's Debian root in DIR, from the
# first mirror that has the suite, else from debootstrap's own default. The suite is
# trixie, for all but one kernel, or sid.
#
# The caller puts it into a mount namespace of its own. DIR is a temporary name:
# only a complete root is renamed to its final one.

set -euo pipefail

suite=$1
dir=$2
shift 2
LAB=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/lab/common.sh
. "$LAB/common.sh"
# shellcheck source=tests/lab/host.sh
. "$LAB/host.sh"

# debootstrap knows proxies from the environment only, this machine's apt perhaps
# from its own configuration.
if [ -z "${http_proxy:-}" ]; then
	eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
	[ -z "${http_proxy:-}" ] || export http_proxy
	[ -z "${https_proxy:-}" ] || export https_proxy
fi

bootstrap() {
	rm -rf --one-file-system "$dir"
	timeout 900 debootstrap --variant=minbase "$suite" "$dir" "$@"
}

made=
for mirror; do
	if bootstrap "$mirror"; then
		made=y
		break
	fi
	echo "no $suite from this machine's mirror $mirror, trying the next"
done
[ -n "$made" ] || bootstrap

# Kernels come from backports, on the mirror that debootstrap has used. i386 is
# there for a Rust standard library only. sid's kernel is sid's own.
foreign=()
read -r _ mirror _ <"$dir/etc/apt/sources.list"
if [ "$suite" = sid ]; then
	echo "deb [arch=amd64] $mirror sid main" >"$dir/etc/apt/sources.list"
else
	foreign=(arm64 i386)
	cat >"$dir/etc/apt/sources.list" <<EOF
deb [arch=amd64,arm64,i386] $mirror $suite main
deb [arch=amd64,arm64] $mirror $suite-backports main
EOF
fi

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
for arch in "${foreign[@]}"; do
	chroot "$dir" dpkg --add-architecture "$arch"
done
timeout 900 chroot "$dir" apt-get -q update
touch "$dir/var/lib/apt/lists/lab-stamp"
mapfile -t packages < <(sed 's/#.*//' "$(root_packages "$suite")" | tr -s ' \t' '\n' | grep .)
DEBIAN_FRONTEND=noninteractive timeout 1800 chroot "$dir" apt-get -q -y install "${packages[@]}"
# Rust's standard library for other architectures: the archives alone. Installed
# as packages they would bring a compiler each.
for arch in "${foreign[@]}"; do
	# shellcheck disable=SC2016 # the inner shell expands it
	chroot "$dir" sh -euc '
		cd /tmp
		apt-get -q -o APT::Sandbox::User=root download "libstd-rust-dev:$1"
		find . -name "*.deb" -exec dpkg-deb -x {} / \; -delete' - "$arch"
done
chroot "$dir" apt-get -q clean
umount "$dir/proc"
