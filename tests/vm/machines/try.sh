# SPDX-License-Identifier: GPL-2.0
#
# The machine that `make try` keeps: does what it is asked for on the port lab.try, one
# request after the other. A request is a line "ID BYTES SECONDS COMMAND" and an archive of
# BYTES, which is unpacked in /lab before; the answer is what COMMAND prints, between the
# lines "### start ID" and "### stop ID STATUS".

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
# shellcheck source=tests/vm/lib/port.sh
. /lab/lib/port.sh

# unpack BYTES: fails if they are no archive. All are read first, so that what comes next is
# the next request in any case.
unpack() {
	dd bs=64k count="$1" iflag=count_bytes,fullblock of=/run/archive 2>/dev/null <&3 &&
		tar -x -C /lab -f /run/archive
	unpacked=$?
	rm -f /run/archive
	return $unpacked
}

# They stay to the end.
load_stock_importers
load_block_device
exec 3<>"$(port lab.try)"
echo ready
now() { cut -d. -f1 /proc/uptime; }
last=$(now)
# Half an hour after the last request it ends.
while [ $(($(now) - last)) -lt 1800 ]; do
	# Where nobody is connected there is nothing to read, at once.
	read -r id bytes seconds command <&3 || {
		usleep 200000
		continue
	}
	printf '### start %s\n' "$id" >&3
	status=99
	if [ "$bytes" -eq 0 ] || unpack "$bytes" >&3 2>&1; then
		timeout -s KILL "$seconds" sh -c "$command" >&3 2>&1 </dev/null
		status=$?
	fi
	printf '\n### stop %s %s\n' "$id" "$status" >&3
	last=$(now)
done
