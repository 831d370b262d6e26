# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0
#
# For the scripts that look at a kernel's build folder: what is wrong is collected and
# told at once.

# Where the build folders are that `make kdir` and DKMS make, each by its release. The
# Makefile has the name, too.
KDIRS=/var/lib/rust-dma-heap/kdir
# For DKMS: what was missing to build for a kernel, in a file with the name of its release.
MISSING=/var/lib/rust-dma-heap/missing
# The status of `kdir` for that.
IS_MISSING=3

problems=0

# problem TEXT [ADVICE...]
problem() {
	printf 'error: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '       %s\n' "$@" >&2
	problems=$((problems + 1))
}

# give_up [STATUS]: ends the script if there was a problem.
give_up() { [ "$problems" -eq 0 ] || exit "${1:-1}"; }

# config FOLDER OPTION: its value in the configuration of that build folder.
config() { sed -nE "s/^$2=\"?([^\"]*)\"?\$/\1/p" "$1/.config"; }

# The version of an installed package; of one that is not, nothing.
package_version() { dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n "s/^installed //p" || :; }

# headers_version FOLDER: the version of the package that has this headers folder.
headers_version() {
	local package
	package=$(dpkg-query -S "$1/.config" 2>/dev/null | sed -n 's/: .*//p') || :
	[ -z "$package" ] || package_version "$package"
}

# made_from HEADERS: what a folder of KDIRS depends on, to tell an old one.
made_from() {
	headers_version "$1"
	config "$1" CONFIG_RUSTC_VERSION_TEXT
	sha256sum <"$1/.config"
}

# rustc_check WANTED: is rustc here, and the one that says WANTED of itself?
rustc_check() {
	local here
	if ! here=$("${RUSTC:-rustc}" --version 2>/dev/null); then
		problem "${RUSTC:-rustc} is missing." "Install exactly: ${1:-the one that built the kernel, see CONFIG_RUSTC_VERSION_TEXT in its configuration}"
	elif [ -n "$1" ] && [ "$here" != "$1" ]; then
		problem "the kernel was built by another rustc than the one here." \
			"kernel: $1" "here:   $here" \
			"Rust has no stable ABI: install exactly that one, or name it: make RUSTC=/path/to/it"
	fi
}
