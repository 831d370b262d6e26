# SPDX-License-Identifier: GPL-2.0
#
# The mode for desktops (docs/confinement.md): whoever sits at the machine allocates, has a
# share, and pays by the cgroup.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
evidence=/run/lab/said
plan 15

# seat VT USER: USER logs in there, and waits until the session is the active one.
seat() {
	mkdir -p "/run/systemd/system/getty@tty$1.service.d"
	cat >"/run/systemd/system/getty@tty$1.service.d/login.conf" <<EOF
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin $2 --noclear %I linux
EOF
	systemctl daemon-reload
	systemctl restart "getty@tty$1.service"
	switch_to "$1" "$2"
}

# switch_to VT USER: to the session there.
switch_to() {
	for _ in $(seq 300); do
		session=$(loginctl list-sessions --no-legend | awk -v user="$2" -v tty="tty$1" '$3 == user && $0 ~ tty { print $1 }')
		if [ -n "$session" ]; then
			loginctl activate "$session"
			[ "$(loginctl show-session -p Active --value "$session")" != yes ] || break
		fi
		sleep 0.1
	done
	loginctl list-sessions --no-legend >/run/lab/said
	[ "$(loginctl show-session -p Active --value "$session")" = yes ]
}

gets() { runuser -u "$1" -- dmaheap alloc "$2" "$3" --hold 1ms >/run/lab/said 2>&1; }
refused() { ! gets "$@" && grep -q 'Permission denied' /run/lab/said; }

useradd --create-home anna
useradd --create-home ben
load_module
udevadm settle
refused anna linux,cma 64K
ok $? "without this mode, a user who is not of the group video gets nothing"
unload_module
udevadm settle

# As the package installs it.
mkdir -p /usr/share/dmaheap /etc/rust-dma-heap /etc/modprobe.d
cp -r /lab/desktop /usr/share/dmaheap/
cp /lab/settings /etc/rust-dma-heap/
install -D /lab/rust_dma_heap.ko "/usr/lib/modules/$(uname -r)/rust_dma_heap.ko"
depmod
sh -ex /lab/documents/desktop.sh >/run/lab/said 2>&1 </dev/null
ok $? "the commands of docs/confinement.md"
udevadm settle
system=$(own_heaps | grep '^system')
is "buffers are charged to cgroups" "$(cat "$(heap_dir "$system")/mem_accounting")" 1
for heap in $(own_heaps); do
	dir=$(heap_dir "$heap")
	is "$heap: a user has a half" "$(cat "$dir/user_limit")" $(($(cat "$dir/limit") / 2))
done
refused anna linux,cma 64K
ok $? "nobody sits there yet"

seat 1 anna
ok $? "anna logs in on tty1"
gets anna linux,cma 64K
ok $? "and allocates, by a compatible name"
gets anna "$system" 64K
ok $? "and by a heap's own"
refused ben linux,cma 64K
ok $? "ben does not"
seat 2 ben
ok $? "ben takes her place"
gets ben linux,cma 64K
ok $? "then he does"
refused anna linux,cma 64K && refused anna "$system" 64K
ok $? "and she does not"
switch_to 1 anna && gets anna linux,cma 64K
ok $? "until she is back"
systemctl set-property --runtime "user-$(id -u anna).slice" MemoryMax=48M
systemd-run --pipe --wait --slice="user-$(id -u anna).slice" --uid=anna \
	dmaheap alloc "$system" 16M --hold 1ms >/run/lab/said 2>&1 &&
	! systemd-run --pipe --wait --slice="user-$(id -u anna).slice" --uid=anna \
		dmaheap alloc "$system" 64M --hold 1ms >>/run/lab/said 2>&1
ok $? "her cgroup's limit holds"
finish
