# SPDX-License-Identifier: GPL-2.0
#
# How a machine runs a test.

# run_test NAME TIMEOUT COMMAND...: puts the output of COMMAND between two lines
# by which the lab cuts it out again, with its status. On a slow machine, where
# DMAHEAP_PATIENCE is a number, it may take that many times as long.
run_test() {
	echo "### begin $1"
	test_name=$1
	test_time=$(($2 * ${DMAHEAP_PATIENCE:-1}))
	shift 2
	timeout -s KILL "$test_time" "$@"
	printf '\n### end %s %s\n' "$test_name" "$?"
}
