# SPDX-License-Identifier: GPL-2.0
#
# A GStreamer pipeline: libcamerasrc has buffers of our heap filled, and the elements
# after it read them.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
counters=/sys/kernel/debug/$MODULE/$(leads_to linux,cma)
plan 5

diag "$(dpkg-query -W gstreamer1.0-tools gstreamer1.0-libcamera | xargs)"
count() { cat "$counters/$1"; }
allocations=$(count allocations)
mmaps=$(count mmaps)
mkdir /run/lab/pictures
cd /run/lab/pictures || exit
timeout 200 gst-launch-1.0 libcamerasrc camera-name=Virtual0 ! \
	video/x-raw,format=NV12,width=1280,height=720 ! identity eos-after=5 ! \
	videoconvert ! video/x-raw,format=RGB ! multifilesink location=%d.rgb >/run/lab/gst 2>&1
ok $? "the pipeline runs to its end" /run/lab/gst
at_least "our heap gives it its buffers" "$(($(count allocations) - allocations))" 4
at_least "that it maps" "$(($(count mmaps) - mmaps))" 4
is "frames are on disk" "$(stat -c %s -- *.rgb | sort -u)" $((1280 * 720 * 3))
# Three bytes a pixel.
at_least "with the test pattern" "$(head -c 3840 0.rgb | od -An -v -tx1 -w3 | uniq | wc -l)" 8
finish
