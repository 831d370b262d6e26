# SPDX-License-Identifier: GPL-2.0
#
# The source package's own test (debian/tests), by Debian's program, in this machine and with
# the packages that are installed.

# shellcheck source=tests/vm/lib/packages.sh
. /lab/lib/packages.sh
plan 2

unpack_source
try autopkgtest --no-built-binaries --ignore-restrictions=isolation-machine \
	--output-dir=/run/lab/autopkgtest /root/source -- null
is "the test was no skip" "$(grep -E '^verify +' /run/lab/autopkgtest/summary | awk '{ print $2 }')" PASS
finish
