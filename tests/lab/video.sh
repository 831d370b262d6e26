# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Machines whose screen is looked at.
#
# make demo-video: a camera's pictures on a screen, in buffers of our heaps.
#
# make test-video: the same for minutes.

lab_demo-video() {
	local name heap
	video_prepare "${1:-amd64}"
	name=$ARCH-demo-video
	video_boot demo-video 300
	result "$name/picture-columns" "$BUILD/amd64/picture" "$BUILD/log/screen-$name-columns.png" 640x480 columns
	result "$name/picture-rows" "$BUILD/amd64/picture" "$BUILD/log/screen-$name-rows.png" 640x480 rows
	for heap in "$RESULTS/$name"/video-*.tap; do
		say "" "$(basename "$heap" .tap):"
		sed -n 's/^# \(.*\)/  \1/p' "$heap"
	done
	results || return
	cp "$BUILD/log/screen-$name-columns.png" "$BUILD/demo-video-$ARCH.png"
	say "The camera's pattern, as the screen has shown it: build/demo-video-$ARCH.png"
}

lab_test-video() {
	# Its clock counts the machine's own instructions, a nanosecond each: whatever
	# else this host does, a frame has as long as it should. Nobody sleeps meanwhile,
	# so minutes there may be less than that here.
	local VM_COUNTS=1
	video_prepare "${1:-amd64}"
	video_boot suite-video 1200
	say "  ... unit tests of the programs for video"
	result cargo "$LAB/cargo-tap" --package camera-to-screen --package picture
	results
}

# All that a machine with video needs.
video_prepare() {
	prepare "$1"
	rm -rf "$RESULTS"
	mkdir -p "$RESULTS"
	step "fetch drivers of the stock kernel for $ARCH" "stock-modules-$ARCH" stock_modules_fetch
	step "build the programs for video for $ARCH" "tools-video-$ARCH" tools_build_video
	prepare_initramfs "$BUILD/$ARCH/camera-to-screen" "$(stock_modules_dir)"
}

# video_boot SUITE TIMEOUT: boots $ARCH, runs tests/vm/machines/SUITE.sh there and takes a
# picture of the screen for each line "# screendump NAME" that it prints. The
# pictures are build/log/screen-ARCH-SUITE-NAME.png.
#
# Two pipes: QEMU takes commands on one, and a line on the other tells the guest
# that its picture was taken.
video_boot() {
	local suite=$1 timeout=$2 name=$ARCH-$1 log status=0 start=$SECONDS machine
	log=$BUILD/log/vm-$name
	rm -f "$BUILD/log/screen-$name"-*.png "$log".{qmp,go}.{in,out} "$log".{out,status}
	mkfifo "$log".{qmp,go}.{in,out}
	say "  ... boot $ARCH: $suite"
	# The screen offers the sizes of the camera's smallest pictures, too.
	machine=(-global bochs-display.xres=640 -global bochs-display.yres=360
		-chardev "pipe,id=qmp,path=$log.qmp" -mon "chardev=qmp,mode=control"
		-device "virtio-serial-pci,id=video" -chardev "pipe,id=go,path=$log.go"
		-device "virtserialport,bus=video.0,chardev=go,name=lab.go")
	vm_run "$name" "$timeout" "$SRC/tests/vm/machines/$suite.sh" "$APPEND" "${machine[@]}" &
	video_pictures "$!" "$log" "$BUILD/log/screen-$name" || :
	wait "$!" || status=$?
	rm -f "$log".{qmp,go}.{in,out}
	"$LAB/results-split" "$log.out" "$RESULTS/$name" "$status"
	result "$name/kernel-log" "$LAB/log-check" "$log.console"
	say "  ok  boot $ARCH: $suite ($((SECONDS - start)) s)"
}

# video_pictures PID LOG PREFIX: takes the pictures that are asked for until the
# machine's process PID ends.
video_pictures() {
	local pid=$1 log=$2 prefix=$3 taken=0 wanted qmp_in qmp_out go
	exec {qmp_in}<>"$log.qmp.in" {qmp_out}<>"$log.qmp.out" {go}<>"$log.go.in"
	while kill -0 "$pid" 2>/dev/null; do
		wanted=$(sed -n 's/^# screendump //p' "$log.out" 2>/dev/null | sed -n "$((taken + 1))p")
		if [ -z "$wanted" ]; then
			sleep 0.2
			continue
		fi
		# QEMU takes no other command before this one. Not sooner: a machine that
		# stands still while it starts is started again.
		[ "$taken" -gt 0 ] || qmp '{"execute": "qmp_capabilities", "id": "begin"}' begin || return
		taken=$((taken + 1))
		qmp "{\"execute\": \"screendump\", \"id\": \"$taken\", \"arguments\":
			{\"filename\": \"$prefix-$wanted.png\", \"format\": \"png\"}}" "$taken" || return
		say taken >&"$go"
	done
	exec {qmp_in}>&- {qmp_out}>&- {go}>&-
}

# qmp COMMAND ID: has QEMU do something, and waits for its answer.
qmp() {
	local answer
	say "$1" >&"$qmp_in"
	while read -r -t 60 answer <&"$qmp_out"; do
		case $answer in
		*'"error"'*"\"id\": \"$2\""* | *"\"id\": \"$2\""*'"error"'*)
			say "error: QEMU answers: $answer" >&2
			return 1
			;;
		*"\"id\": \"$2\""*) return 0 ;;
		esac
	done
	say "error: QEMU does not answer" >&2
	return 1
}
