# SPDX-License-Identifier: GPL-2.0
#
# Modules: ours, and those of the kernel that a test needs.

# load_module [PARAMETER=VALUE...]: with pool_cap in the environment the heaps keep
# that many bytes at most.
# shellcheck disable=SC2120 # scripts pass some
load_module() {
	begin_log
	insmod "/lab/$MODULE.ko" "$@" || return
	[ -z "${pool_cap:-}" ] || for heap in $(own_heaps); do
		echo "$pool_cap" >"$(heap_dir "$heap")/pool_cap" || return
	done
}

# use_rules: installs the udev rules and what they run, as docs/install.md does by hand.
use_rules() {
	cp /lab/*-rust-dma-heap*.rules /etc/udev/rules.d/
	cp /lab/dmaheap /usr/local/bin/
	udevadm control --reload
}

# need_heaps: loads it if our heaps are not there. A test that begins with this can be run alone.
need_heaps() { [ -n "$(own_heaps)" ] || load_module; }

# load_stock_importers [PARAMETER=VALUE...]: the stock kernel's drivers that import
# dma-bufs: of vivid, one device for each of its allocators, with a camera as the only
# input, and what else PARAMETERs say.
load_stock_importers() {
	# No console on the screen: the kernel warns when a busy host lets it miss a
	# picture. The parameter is read when this is loaded, and vgem would load it.
	modprobe drm_kms_helper fbdev_emulation=0
	modprobe vgem
	modprobe bochs
	modprobe vivid n_devs=2 allocators=0,1 node_types=1,1 num_inputs=1,1 input_types=0,0 "$@"
}

# load_block_device: one of 1 MiB, in memory. Kernels of the lab's own have none.
load_block_device() { modprobe brd rd_nr=1 rd_size=1024 2>/dev/null || true; }

# load_c_heaps: those of the kernel's own heaps that it does not have built in.
load_c_heaps() {
	for file in dma-heap system_heap cma_heap; do
		[ ! -e "/lab/$file.ko" ] || insmod "/lab/$file.ko" || return
	done
}

unload_module() { rmmod "$MODULE"; }

loaded() { grep -q "^$MODULE " /proc/modules; }
