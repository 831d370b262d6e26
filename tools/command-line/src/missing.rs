// SPDX-License-Identifier: GPL-2.0

//! What to do when there is no heap.

use dma_heap::HEAP_DIR;
use dma_heap::MODULE_NAME;
use std::path::Path;

/// Says why there is probably no heap and what to do next.
pub fn advice() -> String {
    let loaded = Path::new("/sys/module").join(MODULE_NAME).is_dir();
    let node = Path::new("/sys/class/dma_heap").is_dir();
    choose(loaded, node)
}

fn choose(module_loaded: bool, class_exists: bool) -> String {
    if module_loaded || class_exists {
        format!(
            "no heap in {HEAP_DIR}, but the kernel has one: mount devtmpfs on /dev, or let udev \
             make the nodes; `dmesg` says which heaps {MODULE_NAME} has and why others are \
             missing"
        )
    } else {
        format!(
            "no heap in {HEAP_DIR}: load the module with `modprobe {MODULE_NAME}` (or `insmod \
             {MODULE_NAME}.ko`) as root; it needs a kernel with CONFIG_RUST=y and \
             CONFIG_DMA_SHARED_BUFFER=y. The kernel's own heaps need CONFIG_DMABUF_HEAPS=y. \
             `dmaheap doctor` says what this machine lacks"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_next_step() {
        assert!(choose(false, false).contains("modprobe rust_dma_heap"));
        assert!(choose(true, false).contains("devtmpfs"));
        assert!(choose(false, true).contains("devtmpfs"));
    }
}
