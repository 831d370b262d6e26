// SPDX-License-Identifier: GPL-2.0

//! A device's side of a buffer, through the test importer: attach, map, vmap,
//! brackets, and the ways back.
//!
//! A call that fails takes its importer along: what that has made without being
//! able to tell the caller its number goes with it.
//!
//! Devices only read: of what they write, the kernel's checks of the DMA API keep
//! a tree, for which they allocate, and they end when that fails.

use super::buffer;
use super::errno;
use crate::failure::Failure;
use crate::sweep::Entry;
use crate::sweep::Outcome;
use crate::sweep::Sweep;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Direction;
use dma_heap::importer::Importer;
use std::cell::RefCell;
use std::rc::Rc;

/// So long that the table of segments of a page takes several pages.
const SEGMENTED: u64 = 1 << 20;

const ERRORS: [Errno; 2] = [Errno::NOMEM, Errno::FAULT];

/// What a device has when the call is made.
type Prepared = (Rc<Importer>, Buffer);

/// Importers for one call after the other. To make one takes long.
struct Importers(RefCell<Rc<Importer>>);

impl Importers {
    fn new() -> Result<Self, Failure> {
        Ok(Self(RefCell::new(Rc::new(importer()?))))
    }

    fn prepare(&self, heap: &Heap) -> Result<Prepared, Failure> {
        Ok((self.0.borrow().clone(), buffer(heap, SEGMENTED)?))
    }

    /// Runs a call. If it fails, its importer goes with what it holds.
    fn run(
        &self,
        (used, buffer): &Prepared,
        call: impl Fn(&Importer, &Buffer) -> Outcome<()>,
    ) -> Outcome<()> {
        let outcome = call(used, buffer);
        if outcome.is_err() {
            *self.0.borrow_mut() = Rc::new(errno(importer())?);
        }
        outcome
    }
}

fn importer() -> Result<Importer, dma_heap::Error> {
    Importer::with_device(DeviceSettings {
        max_segment_size: 4096,
        ..DeviceSettings::default()
    })
}

pub(crate) fn sweep(sweep: &mut Sweep, heap: &Heap) {
    let name = heap.name();
    let importers = match Importers::new() {
        Ok(importers) => importers,
        Err(failure) => return sweep.failed(&format!("{name}: devices"), &failure),
    };
    let mut step = |what: &str, call: fn(&Importer, &Buffer) -> Outcome<()>| {
        sweep.call(
            &Entry {
                name: &format!("{name}: {what}"),
                errors: &ERRORS,
                every: true,
            },
            || importers.prepare(heap),
            |prepared| importers.run(prepared, call),
        );
    };
    step("attach and detach", |importer, buffer| {
        errno(errno(importer.attach(buffer))?.release())
    });
    step("attach, map, unmap, detach", |importer, buffer| {
        let attachment = errno(importer.attach(buffer))?;
        errno(errno(attachment.map(Direction::ToDevice))?.release())?;
        errno(attachment.release())
    });
    step("map three times, brackets", |importer, buffer| {
        let attachment = errno(importer.attach(buffer))?;
        let first = errno(attachment.map(Direction::ToDevice))?;
        let second = errno(attachment.map(Direction::ToDevice))?;
        let third = errno(attachment.map(Direction::ToDevice))?;
        errno(importer.begin_cpu_access(buffer, Direction::Both))?;
        errno(importer.end_cpu_access(buffer, Direction::Both))?;
        errno(first.release())?;
        errno(second.release())?;
        errno(third.release())?;
        errno(attachment.release())
    });
    step("vmap and vunmap", |importer, buffer| {
        errno(errno(importer.vmap(buffer))?.release())
    });
    step("begin_cpu_access with a vmap", |importer, buffer| {
        let vmap = errno(importer.vmap(buffer))?;
        errno(importer.begin_cpu_access(buffer, Direction::Both))?;
        errno(importer.end_cpu_access(buffer, Direction::Both))?;
        errno(vmap.release())
    });
}
