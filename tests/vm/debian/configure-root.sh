# SPDX-License-Identifier: GPL-2.0
#
# Installs the packages of /essential and /debs. Runs within the new root, where
# nothing but the files of the former is there yet.

set -e
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C.UTF-8 \
	HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin

# The root is made anew rather than repaired, so it needs no fsync.
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/lab
printf 'path-exclude=/usr/share/%s/*\n' doc man locale info >>/etc/dpkg/dpkg.cfg.d/lab
# Services wait for a machine of their own.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

# They need each other, so none finds what it asks for in the beginning.
dpkg --force-depends --install /essential/*.deb
dpkg --force-depends --unpack /debs/*.deb
dpkg --configure --pending
dpkg --audit

# Else the first start would do again what the packages have done.
touch /etc/.updated /var/.updated
rm -r /essential /debs /usr/sbin/policy-rc.d
