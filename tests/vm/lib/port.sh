# SPDX-License-Identifier: GPL-2.0
#
# The machine's channels to the lab.

# The device file of the virtio port called $1.
port() {
	for name in /sys/class/virtio-ports/*/name; do
		if [ "$(cat "$name" 2>/dev/null)" = "$1" ]; then
			echo "/dev/$(basename "$(dirname "$name")")"
		fi
	done
}
