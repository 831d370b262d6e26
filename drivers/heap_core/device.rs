// SPDX-License-Identifier: GPL-2.0

//! A heap as processes see it: what an open node leads to.

use super::{
    abi::{
        Allocation,
        Command,
        Request, //
    },
    own_ioctls::OwnIoctl,
    Heap, //
};
use crate::{
    abstractions::{
        device::char_device::FileOperations,
        dma_buf::DmaBuf, //
    },
    accounting::Account,
    buffer::{
        Attachments,
        Buffer,
        Export, //
    },
    counter::Counter, //
};
use kernel::{
    fs::file::FileDescriptorReservation,
    page::PAGE_SIZE,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc, //
    },
    uaccess::UserPtr, //
};

/// A named heap with its account.
pub(super) struct HeapDevice {
    export: Arc<Export>,
    heap: KBox<dyn Heap>,
    account: Arc<Account>,
    /// Buffers made.
    pub(super) allocations: Counter,
    /// Valid requests that failed.
    pub(super) failures: Counter,
}

impl HeapDevice {
    /// Gives `heap` a name.
    pub(super) fn new(
        name: CString,
        heap: KBox<dyn Heap>,
        attachments: Arc<Attachments>,
    ) -> Result<Arc<Self>> {
        let account = match heap.capacity() {
            Some(bytes) => Account::of_area(bytes)?,
            None => Account::of_machine()?,
        };

        if let Some(pool) = heap.pool() {
            pool.ledger().set_name((*name).try_into()?);
        }
        Ok(Arc::new(
            Self {
                export: Arc::new(Export::new(name, attachments), GFP_KERNEL)?,
                heap,
                account,
                allocations: Counter::new(),
                failures: Counter::new(),
            },
            GFP_KERNEL,
        )?)
    }

    /// Returns the name: that of the node, the device and the exporter.
    pub(super) fn name(&self) -> &CStr {
        &self.export.name
    }

    /// Returns where the memory comes from.
    pub(super) fn heap(&self) -> &dyn Heap {
        &*self.heap
    }

    /// Returns what buffers take, and may take.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Returns what its buffers share as dma-bufs.
    pub(super) fn export(&self) -> &Export {
        &self.export
    }

    /// Makes a buffer of `nr_pages` zeroed pages. May sleep.
    ///
    /// Returns `EDQUOT` at once for more than the user's limit leaves, and `ENOMEM` for more than
    /// the heap's does. When this returns, the buffer holds all its memory.
    fn allocate(&self, nr_pages: usize, file_flags: u32) -> Result<ARef<DmaBuf>> {
        let bytes = nr_pages as u64 * PAGE_SIZE as u64;
        let claim = self.account.charge(bytes)?;
        let blocks = self.heap.allocate(nr_pages)?;

        Buffer::export(self.export.clone(), blocks, claim.settle()?, file_flags)
    }

    /// `DMA_HEAP_IOCTL_ALLOC`. May sleep.
    fn allocate_for(&self, command: u32, argument: UserPtr) -> Result {
        let command = Command::decode(command)?;
        let allocation = command.read(argument)?;
        let request = allocation.check()?;
        let result = self.serve(&request, &command, allocation, argument);

        match result {
            Ok(()) => self.allocations.add(1),
            Err(_) => self.failures.add(1),
        }
        result
    }

    /// Answers a checked request. May sleep.
    fn serve(
        &self,
        request: &Request,
        command: &Command,
        mut allocation: Allocation,
        argument: UserPtr,
    ) -> Result {
        let dma_buf = self.allocate(request.nr_pages, request.fd_flags)?;
        let fd = FileDescriptorReservation::get_unused_fd_flags(request.fd_flags)?;

        // Everything that can fail comes before the descriptor leads to the buffer: a process that
        // was not told its number could never close it.
        allocation.set_fd(fd.reserved_fd())?;
        command.write(argument, &allocation)?;
        DmaBuf::install(dma_buf, fd);
        Ok(())
    }
}

#[vtable]
impl FileOperations for HeapDevice {
    fn ioctl(&self, command: u32, argument: UserPtr) -> Result<isize> {
        match OwnIoctl::of(command, argument) {
            Some(own) => own.answer(&self.export)?,
            None => self.allocate_for(command, argument)?,
        }
        Ok(0)
    }
}
