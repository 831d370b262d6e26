// SPDX-License-Identifier: GPL-2.0

//! An importer for tests: attaches, maps, reads, writes and vmaps any dma-buf, in the order and
//! number that a process asks for.
//!
//! Each open of `/dev/dma_buf_test_importer` is a device of its own: one in software, with DMA
//! limits of the process's choice, or one of QEMU's `edu` devices, which really does DMA.
//! Everything that it holds goes when the file is closed. Only root can open it. It works on
//! dma-bufs of any exporter, and so can be loaded on any kernel.

#[allow(dead_code, reason = "what only the exporter uses")]
#[path = "../../drivers/abstractions/mod.rs"]
mod abstractions;
mod commands;
mod edu;
mod session;

use kernel::{
    driver,
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    pci,
    prelude::*,
    uaccess::UserPtr, //
};
use session::Session;

module! {
    type: TestImporter,
    name: "dma_buf_test_importer",
    authors: ["The Rust dma-buf heaps developers"],
    description: "Importer of dma-bufs for tests, driven by ioctls",
    license: "GPL",
    imports_ns: ["DMA_BUF"],
    params: {
        edu_mask_bits: u32 {
            default: 64,
            description: "How many bits of an address edu devices can put out (default 64)",
        },
        edu_max_segment: u32 {
            default: 0xffff_ffff,
            description: "The longest segment that their driver asks for (default: any; the PCI core itself says 65536)",
        },
    },
}

/// The loaded module.
#[pin_data]
struct TestImporter {
    // First, so that no file is open any more when devices go.
    #[pin]
    node: MiscDeviceRegistration<Session>,
    #[pin]
    edu: driver::Registration<pci::Adapter<edu::Driver>>,
}

impl kernel::InPlaceModule for TestImporter {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // SAFETY: The module is being loaded, and registers the driver and the node below.
        unsafe { edu::init() };
        try_pin_init!(Self {
            edu <- driver::Registration::new(<Self as kernel::ModuleMetadata>::NAME, module),
            node <- MiscDeviceRegistration::register(MiscDeviceOptions {
                name: c"dma_buf_test_importer",
            }),
        })
    }
}

#[vtable]
impl MiscDevice for Session {
    type Ptr = Pin<KBox<Self>>;

    fn open(_file: &File, _node: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        KBox::pin_init(Session::new(), GFP_KERNEL)
    }

    fn ioctl(session: Pin<&Self>, _file: &File, command: u32, argument: usize) -> Result<isize> {
        commands::run(&session, command, UserPtr::from_addr(argument))
    }
}
