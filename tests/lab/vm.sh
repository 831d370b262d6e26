# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Virtual machines. Each has two channels: the serial port carries the kernel's
# log and nothing else, a virtio port carries what the commands print. So no
# kernel message can land in the middle of a test's result.

VM_FILES=()

# KVM only where a boot has shown that it works: /dev/kvm may exist and QEMU
# still assert or hang on it.
vm_accel() {
	ACCEL=(-accel "tcg,thread=multi" -smp 2)
	if [ -n "${VM_COUNTS:-}" ]; then
		# The machine's clock counts instructions of its one processor, a
		# nanosecond each, and does not wait while that sleeps.
		ACCEL=(-accel "tcg,thread=single" -icount "shift=0,sleep=off" -smp 1)
		return
	fi
	[ "${LAB_KVM:-}" = 1 ] && [ "$ARCH" = amd64 ] || return 0
	if [ -z "${KVM_WORKS:-}" ]; then
		KVM_WORKS=no
		if [ -c /dev/kvm ] && kvm_probe >"$BUILD/log/kvm-probe.log" 2>&1; then
			KVM_WORKS=yes
		else
			say "  note: LAB_KVM=1, but KVM does not work here (build/log/kvm-probe.log); using TCG"
		fi
	fi
	if [ "$KVM_WORKS" = yes ]; then
		ACCEL=(-accel kvm -cpu host -smp 2)
	fi
}

kvm_probe() {
	local log=$BUILD/log/kvm-probe.console
	timeout -k 5 30 "$QEMU" -nodefaults -no-user-config -display none -no-reboot -machine q35 \
		-accel kvm -cpu host -m 512M -kernel "$(kernel_image)" \
		-append "console=ttyS0 panic=-1 rdinit=/none" -serial "file:$log" </dev/null
	# Without an init the kernel boots to its end and panics: that is a success.
	grep -q 'Kernel panic - not syncing' "$log"
}

# vm_command NAME JOB APPEND: sets QEMU_COMMAND for a machine that runs the
# script JOB. VM_FILES take the place of what the initramfs has of their names.
vm_command() {
	local name=$1 job=$2 append=$3 dir
	vm_accel
	dir=$(mktemp -d)
	mkdir "$dir/lab"
	cp "$job" "$dir/lab/job"
	[ "${#VM_FILES[@]}" -eq 0 ] || cp "${VM_FILES[@]}" "$dir/lab/"
	archive "$dir" | cat "$OUT/initramfs.cpio" - >"$BUILD/log/vm-$name.cpio"
	rm -r "$dir"
	QEMU_COMMAND=("$QEMU" -nodefaults -no-user-config -display none -no-reboot
		"${MACHINE[@]}" "${ACCEL[@]}" -m "${VM_MEMORY:-$MEMORY}"
		# The device of the stock driver bochs, one of the importers.
		-device bochs-display
		-kernel "$("${KERNEL}_image")" -initrd "$BUILD/log/vm-$name.cpio"
		-append "console=$CONSOLE loglevel=7 printk.devkmsg=on panic=-1 $append")
}

# vm_run NAME TIMEOUT JOB [APPEND [ARGUMENT...]]: boots a machine of $ARCH, with
# ARGUMENTs for QEMU, runs the script JOB in it and returns its status. Leaves in
# $BUILD/log: vm-NAME.console, the kernel's log, and vm-NAME.out, what JOB has
# printed.
vm_run() {
	local name=$1 timeout=$2 job=$3 append=${4-$APPEND} log status
	shift $(($# < 4 ? $# : 4))
	log=$BUILD/log/vm-$name
	vm_command "$name" "$job" "$append"
	QEMU_COMMAND+=("$@" -pidfile "$log.pid" -serial "file:$log.console" -device virtio-serial-pci
		-chardev "file,id=out,path=$log.out" -device "virtserialport,chardev=out,name=lab.out"
		-chardev "file,id=status,path=$log.status" -device "virtserialport,chardev=status,name=lab.status")
	status=0
	vm_once "$log" "$timeout" || status=$?
	if [ "$status" -eq "$VM_STUCK" ]; then
		say "  note: the machine $name stood still while its kernel started; starting it again"
		# What prints the results counts them.
		mkdir -p "$RESULTS"
		say "$name" >>"$RESULTS/restarts"
		status=0
		vm_once "$log" "$timeout" || status=$?
	fi
	rm -f "$log.cpio"
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		vm_failed "$log" "the machine $name did not end within $timeout s"
		return 124
	elif [ "$status" -eq "$VM_STUCK" ]; then
		vm_failed "$log" "the machine $name stood still once more"
		return 125
	elif [ "$status" -ne 0 ]; then
		tail -n 5 "$log.qemu" >&2
		vm_failed "$log" "QEMU ended with status $status"
		return 125
	fi
	status=$(sed -n 's/^exit //p' "$log.status")
	if [ -z "$status" ]; then
		vm_failed "$log" "the machine $name died before its work was done"
		return 125
	fi
	return "$status"
}

# A kernel may stand still while it starts: on a busy host an emulated timer is
# sometimes lost. Within this many seconds each other one has begun its job.
VM_BEGIN=90
# The status for one that has not.
VM_STUCK=99

# vm_once LOG TIMEOUT: runs QEMU_COMMAND.
vm_once() {
	local log=$1 timeout=$2 pid end=$((SECONDS + VM_BEGIN))
	rm -f "$log".{console,out,status,pid}
	timeout -k 5 "$timeout" "${QEMU_COMMAND[@]}" </dev/null >"$log.qemu" 2>&1 &
	pid=$!
	until grep -qs '^begin' "$log.status" || ! kill -0 "$pid" 2>/dev/null; do
		if [ "$SECONDS" -ge "$end" ]; then
			kill "$pid"
			wait "$pid" || :
			return "$VM_STUCK"
		fi
		sleep 0.5
	done
	wait "$pid"
}

vm_failed() {
	{
		printf 'error: %s. The end of its kernel log:\n' "$2"
		tail -n 25 "$1.console" 2>/dev/null | tr -d '\r' | sed 's/^/  | /'
	} >&2
}
