# SPDX-License-Identifier: GPL-2.0
#
# test.sh NAME [ARGUMENT...]: the script NAME of /lab/tests.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
# shellcheck source=tests/vm/lib/set-back.sh
. /lab/lib/set-back.sh
name=$1
shift

set_back || exit
run_test "$name" 600 sh "/lab/tests/$name.sh" "$@"
