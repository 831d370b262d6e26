# SPDX-License-Identifier: GPL-2.0
#
# The demonstration: load, list, verify every heap, unload.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh

run() {
	echo "# $*"
	"$@" || {
		status=$?
		echo "# status $status"
		exit "$status"
	}
}

uname -srm
run load_module
run dmaheap list
echo
run dmaheap verify
echo
run unload_module
