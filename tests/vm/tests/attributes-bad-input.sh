# SPDX-License-Identifier: GPL-2.0
#
# What root may write to a heap's attributes is a number; what is none changes nothing.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
set -- $(own_heaps)
plan $((2 * $#))

for heap; do
	knobs=$(find "$(heap_dir "$heap")/" -maxdepth 1 -type f -perm -200 ! -name uevent)
	at_least "$heap: there are attributes to write" "$(echo "$knobs" | grep -c /)" 4
	wrong=
	for knob in $knobs; do
		before=$(cat "$knob")
		for text in '' ' ' x -1 1x '1 2' 0x 0.5 99999999999999999999; do
			! echo "$text" 2>/dev/null >"$knob" || wrong="$wrong ${knob##*/} took \"$text\"."
			[ "$(cat "$knob")" = "$before" ] ||
				wrong="$wrong ${knob##*/} was $before and is $(cat "$knob")."
		done
	done
	is "$heap: none takes what is no number" "$wrong" ""
done
finish
