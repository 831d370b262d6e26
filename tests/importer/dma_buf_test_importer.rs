// SPDX-License-Identifier: GPL-2.0

//! An importer for tests: attaches, maps, reads, writes and vmaps any dma-buf, in the order and
//! number that a process asks for.
//!
//! Each open of `/dev/dma_buf_test_importer` is a device of its own, in software, with DMA limits
//! of the process's choice, and everything that it holds goes when the file is closed. Only root
//! can open it. It works on dma-bufs of any exporter, and so can be loaded on any kernel.

#[allow(dead_code, reason = "what only the exporter uses")]
#[path = "../../drivers/abstractions/mod.rs"]
mod abstractions;
mod commands;
mod session;

use kernel::{
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
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
}

/// The loaded module.
#[pin_data]
struct TestImporter {
    #[pin]
    node: MiscDeviceRegistration<Session>,
}

impl kernel::InPlaceModule for TestImporter {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
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
