# SPDX-License-Identifier: GPL-2.0
#
# Kodi, on the screen of this machine (GBM, and Mesa's renderer in software), has the
# frames of a video decoded into buffers of the first heap that it can open: reserved,
# linux,cma, system.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
counters=/sys/kernel/debug/$MODULE/$(leads_to reserved)
log=/root/.kodi/temp/kodi.log
plan 6

diag "$(dpkg-query -W kodi-bin mesa-libgallium | xargs)"
ffmpeg -loglevel error -f lavfi -i testsrc=size=160x120:rate=10 -t 60 -pix_fmt yuv420p \
	-c:v mpeg4 /run/lab/video.mkv 2>/run/lab/ffmpeg
ok $? "there is a video" /run/lab/ffmpeg
# Kodi is to decode into dma-bufs. (To show them it would import them into OpenGL, but
# Mesa's renderer in software does not take them.)
mkdir -p /root/.kodi/userdata
cat >/root/.kodi/userdata/guisettings.xml <<'EOF'
<settings version="2">
    <setting id="videoplayer.useprimedecoder">true</setting>
</settings>
EOF

evidence="/run/lab/kodi $log"
count() { cat "$counters/$1"; }
allocations=$(count allocations)
mmaps=$(count mmaps)
accesses=$(count cpu_accesses)
"$(echo /usr/lib/*/kodi/kodi.bin)" --windowing=gbm --debug /run/lab/video.mkv >/run/lab/kodi 2>&1 &
kodi=$!
for _ in $(seq 600); do
	if [ "$(($(count cpu_accesses) - accesses))" -ge 20 ] || ! kill -0 $kodi 2>/dev/null; then
		break
	fi
	sleep 1
done
is "it takes the heap by the name reserved" \
	"$(sed -n 's|.*CDMAHeapBufferObject::.*using /dev/||p' $log | sort -u)" dma_heap/reserved
at_least "which gives it buffers" "$(($(count allocations) - allocations))" 3
at_least "that it maps" "$(($(count mmaps) - mmaps))" 3
at_least "and has frames decoded into, between syncs" "$(($(count cpu_accesses) - accesses))" 20
kill -KILL $kodi
wait $kodi 2>/dev/null
is "and all of them are freed when it ends" "$(cat "$(heap_dir default_cma_region)/used")" 0
finish
