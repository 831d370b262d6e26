# SPDX-License-Identifier: GPL-2.0
#
# libcamera's program cam, with the camera in software that its "virtual" pipeline
# is. It takes its buffers from the first heap that it can open: linux,cma,
# reserved, system.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
counters=/sys/kernel/debug/$MODULE/$(leads_to linux,cma)
# What it needs to know of that camera.
mkdir -p /usr/share/libcamera/pipeline/virtual
cat >/usr/share/libcamera/pipeline/virtual/virtual.yaml <<'EOF'
%YAML 1.1
---
"Virtual0":
  supported_formats:
  - width: 1280
    height: 720
    frame_rates:
    - 30
    - 60
  test_pattern: "bars"
  model: "Virtual camera"
...
EOF
plan 6

diag "$(dpkg-query -W libcamera-tools "libcamera0.*" | xargs)"
count() { cat "$counters/$1"; }
allocations=$(count allocations)
mmaps=$(count mmaps)
cd /run/lab || exit
mkdir -m 777 frames
cd frames || exit
# As somebody whom the group lets in.
runuser -u viewer -- env LIBCAMERA_LOG_LEVELS=DmaBufAllocator:DEBUG timeout 120 \
	cam --camera=1 --capture=5 --stream=width=1280,height=720,pixelformat=NV12 "--file=frame-#.nv12" \
	>/run/lab/cam 2>&1
ok $? "cam captures" /run/lab/cam
is "it takes the heap by the name linux,cma" \
	"$(sed -n 's|.*Using /dev/||p' /run/lab/cam | sort -u)" dma_heap/linux,cma
is "which gives it its buffers" "$(($(count allocations) - allocations))" 4
at_least "that it maps" "$(($(count mmaps) - mmaps))" 4
is "five frames are on disk" "$(ls -1 | grep -c '^frame-')" 5
# The eight bars of the first line differ in brightness.
frame=$(ls -1 frame-* | head -n 1)
at_least "with the test pattern" "$(head -c 1280 "$frame" | od -An -v -tu1 -w1 | uniq | wc -l)" 8
finish
