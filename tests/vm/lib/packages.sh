# SPDX-License-Identifier: GPL-2.0
#
# For the tests of our Debian packages: in a machine with a Debian root, or in a chroot.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
# What the packages bring, not what the lab has.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

# The repository is the machine's second disk; a chroot has it mounted.
use_repository() {
	mkdir -p /srv/repository
	[ -e /srv/repository/Packages ] || mount -o ro /dev/vdb /srv/repository || return
	rm -f /etc/apt/sources.list.d/*
	echo "deb [trusted=yes] file:/srv/repository ./" >/etc/apt/sources.list
	apt-get -q update >/dev/null
}

# apt_run TEXT ARGUMENT...: a test that apt-get does it. Its output is in $apt_log.
apt_log=/run/lab/apt
apt_run() {
	apt_text=$1
	shift
	apt_begin=$(date +%s)
	apt-get -q -y --no-install-recommends -o APT::Sandbox::User=root "$@" >"$apt_log" 2>&1 </dev/null
	ok $? "$apt_text" "$apt_log"
	diag "apt-get $*: $(($(date +%s) - apt_begin)) s"
}

# Does what apt has said match?
said() {
	grep -qE "$2" "$apt_log"
	ok $? "$1" "$apt_log"
}

# The status that DKMS gives the module for the kernel $1.
dkms_status() { dkms status -m rust-dma-heap -k "$1" | sed 's/.*: //'; }

# The source, which somebody who builds by hand has in /root/source.
unpack_source() {
	rm -rf /root/source
	mkdir /root/source
	tar -C /root/source -xf /lab/source.tar
}

# try COMMAND...: a test that it succeeds. Its output is in $try_log.
try_log=/run/lab/try
try() {
	try_begin=$(date +%s)
	"$@" >"$try_log" 2>&1 </dev/null
	ok $? "$*" "$try_log"
	diag "$(($(date +%s) - try_begin)) s"
}
