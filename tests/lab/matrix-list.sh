# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Reads the file "kernels", for the scripts on both sides of the chroot.

# matrix_lines PATTERN: the lines whose names match.
matrix_lines() {
	local name rest
	while read -r name rest; do
		# shellcheck disable=SC2053 # it is a pattern
		[[ $name != $1 ]] || say "$name $rest"
	done < <(grep -E '^[a-z0-9]' "$LAB/kernels")
}

matrix_names() { matrix_lines "$1" | cut -d' ' -f1; }

# The suites of those kernels, each once, trixie first.
matrix_suites() { matrix_lines "$1" | awk '{ print $2 }' | sort -ru; }
