# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Messages and timed steps, for the scripts on both sides of the chroot.

say() { printf '%s\n' "$*"; }

# Ends the script: the first argument says what is wrong, the others what to do.
die() {
	printf 'error: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '       %s\n' "$@" >&2
	exit 1
}

# The first 12 digits of the hash of the given files and of what comes on
# standard input when "-" is among them.
digest() { cat -- "$@" | sha256sum | cut -c1-12; }

# The list of what the root of suite $1 holds.
root_packages() {
	case $1 in
	trixie) say "$LAB/packages" ;;
	*) say "$LAB/packages-$1" ;;
	esac
}

# step TEXT LOG COMMAND...: runs COMMAND with its output in $BUILD/log/LOG.log,
# prints TEXT with the time it took, and the end of the log when it fails.
#
# Never call it as part of a condition: bash would then ignore `set -e` inside
# COMMAND, and a failure in its middle would go unnoticed.
step() {
	local text=$1 log=$BUILD/log/$2.log start=$SECONDS rc
	shift 2
	say "  ... $text"
	set +e
	(
		set -e
		"$@"
	) >"$log" 2>&1 </dev/null
	rc=$?
	set -e
	if [ "$rc" -ne 0 ]; then
		# shellcheck disable=SC2034 # for whoever tells it again
		STEP_FAILED="$text failed: ${log#"$SRC"/}"
		{
			printf 'error: %s failed (status %d). The end of %s:\n' \
				"$text" "$rc" "${log#"$SRC"/}"
			tail -n "${STEP_TAIL:-40}" "$log" | sed 's/^/  | /'
		} >&2
		return "$rc"
	fi
	say "  ok  $text ($((SECONDS - start)) s)"
}

# wait_all NUMBER: waits for that many background jobs; fails as soon as one does.
wait_all() {
	local _
	for _ in $(seq "$1"); do
		wait -n || return
	done
}
