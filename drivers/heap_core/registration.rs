// SPDX-License-Identifier: GPL-2.0

//! Bringing heaps up, and taking them down without a trace.

use super::{
    attributes::ATTRIBUTES,
    debug,
    device::HeapDevice,
    names::NamePolicy,
    total_pools::{
        self,
        TotalPoolsFile, //
    },
    HeapDescription, //
};
use crate::{
    abstractions::{
        device::{
            char_device::{
                CharDevices,
                DeviceNumbers, //
            },
            class::{
                Class,
                ClassDevice,
                DevDirectory, //
            },
            debugfs, //
        },
        path, //
    },
    buffer::AllAttachments, //
};
use kernel::{
    debugfs::{
        Dir,
        Scope, //
    },
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// `/dev/dma_heap`, where programs look for heaps.
struct DmaHeapDirectory;

impl DevDirectory for DmaHeapDirectory {
    const NAME: &'static CStr = c"dma_heap";
}

/// The heaps of the loaded module. Dropping it removes them.
///
/// No node can be open and no buffer alive then, because each holds the module.
pub(crate) struct RegisteredHeaps {
    // In the order in which things go: first nobody can open a node any more.
    _nodes: CharDevices<HeapDevice>,
    _devices: KVec<ClassDevice<DmaHeapDirectory, HeapDevice>>,
    _counters: KVec<Pin<KBox<Scope<Arc<HeapDevice>>>>>,
    _debugfs: Dir,
    _total_pools: Option<TotalPoolsFile>,
    _attachments: AllAttachments,
}

impl RegisteredHeaps {
    /// Brings `heaps` up, all or none. May sleep.
    ///
    /// Returns `EEXIST` if a node of a heap's name exists, and says so in the log.
    pub(crate) fn new(heaps: KVec<HeapDescription>, policy: NamePolicy) -> Result<Self> {
        // systemd's units allow devices by the region's name, and each region of that name. So it
        // is that of the kernel's heaps, even beside them.
        let numbers = Arc::new(
            DeviceNumbers::reserve(heaps.len() as u32, c"dma_heap")?,
            GFP_KERNEL,
        )?;
        let class = Arc::new(Class::new(class_name()?)?, GFP_KERNEL)?;
        let debugfs = Dir::new(DEBUGFS_NAME);
        let has_debugfs = debugfs::exists(DEBUGFS_NAME);
        let attachments = AllAttachments::new()?;
        let mut nodes = KVec::with_capacity(heaps.len(), GFP_KERNEL)?;
        let mut devices = KVec::with_capacity(heaps.len(), GFP_KERNEL)?;
        let mut counters = KVec::with_capacity(heaps.len(), GFP_KERNEL)?;

        for (n, description) in heaps.into_iter().enumerate() {
            let name = free_name(&description, policy)?;
            let heap = HeapDevice::new(name, description.heap, attachments.share())?;

            devices.push(
                ClassDevice::new(
                    class.clone(),
                    numbers.clone(),
                    n,
                    heap.name(),
                    ATTRIBUTES,
                    heap.clone(),
                )?,
                GFP_KERNEL,
            )?;
            if has_debugfs {
                counters.push(debug::counters(&debugfs, heap.clone())?, GFP_KERNEL)?;
            }
            announce(heap.name());
            nodes.push(heap, GFP_KERNEL)?;
        }

        Ok(Self {
            // The last step: an open node must not see a module whose load fails.
            _nodes: CharDevices::add(numbers, nodes)?,
            _devices: devices,
            _counters: counters,
            _debugfs: debugfs,
            _total_pools: total_pools::file(),
            _attachments: attachments,
        })
    }
}

/// The directory of the counters.
const DEBUGFS_NAME: &CStr = c"rust_dma_heap";

/// Tells the log that a heap is up, and whether programs will find it.
fn announce(name: &CStr) {
    // The device is there without a node, too, and the kernel says nothing of that. (Built into the
    // kernel, this runs before anything is mounted.)
    if cfg!(all(MODULE, CONFIG_DEVTMPFS)) && matches!(node_exists(name), Ok(false)) {
        pr_warn!(
            "/dev/dma_heap/{} is missing: the kernel could not create it, or /dev is not a devtmpfs; remove the file in its place and load the module again\n",
            name
        );
    } else {
        pr_info!("/dev/dma_heap/{} is up\n", name);
    }
}

/// Returns the class to register.
///
/// `dma_heap` is what udev rules match. Where the kernel's own heap core, or another module, has a
/// class of that name, ours needs one of its own.
fn class_name() -> Result<&'static CStr> {
    let is_taken = cfg!(CONFIG_DMABUF_HEAPS) || path::exists(c"/sys/class/dma_heap")?;

    Ok(if is_taken {
        c"rust_dma_heap"
    } else {
        c"dma_heap"
    })
}

fn node_exists(name: &CStr) -> Result<bool> {
    let path = CString::try_from_fmt(fmt!("/dev/dma_heap/{}", name.to_str()?))?;

    path::exists(&path)
}

/// Chooses the name of a heap.
///
/// A node that exists would stay in place and lead to somebody else's heap: `EEXIST`.
fn free_name(description: &HeapDescription, policy: NamePolicy) -> Result<CString> {
    let plain_is_taken = description.kernel_has_it || node_exists(description.name)?;
    let name = policy.name(description.name, plain_is_taken)?;

    if node_exists(&name)? {
        pr_err!(
            "/dev/dma_heap/{} already exists; remove it, or load with pooled_names=1 for names that end in -pooled\n",
            &*name
        );
        return Err(EEXIST);
    }
    Ok(name)
}
