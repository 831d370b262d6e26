// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading the module.

use super::threads::tasks;
use crate::failure::Failure;
use crate::failure::at;
use crate::failure::fail;
use crate::injection::Injection;
use crate::sweep::Entry;
use crate::sweep::Outcome;
use crate::sweep::Sweep;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::MODULE_NAME;
use rustix::fs::OFlags;
use std::ffi::CString;
use std::fs::File;

/// EAGAIN is what the kernel says when it cannot make a thread.
const ERRORS: [Errno; 3] = [Errno::NOMEM, Errno::FAULT, Errno::AGAIN];

/// The loaded module; dropping it unloads it.
#[derive(Debug)]
struct Loaded;

fn load(file: &File) -> Outcome<Loaded> {
    rustix::system::finit_module(file, c"", 0)?;
    Ok(Loaded)
}

fn unload() -> Outcome<()> {
    let name = CString::new(MODULE_NAME).map_err(|_| Errno::INVAL)?;
    rustix::system::delete_module(&name, OFlags::NONBLOCK.bits() as i32)
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // If it stays, the next look at what is left finds it.
        let _ = unload();
    }
}

impl Loaded {
    /// A load that succeeded with a fault in it has brought all heaps.
    fn is_complete(&self, heaps: &[String]) -> Result<(), Failure> {
        for name in heaps {
            Heap::open(name)?.alloc(1)?;
        }
        Ok(())
    }

    fn forget(self) {
        std::mem::forget(self);
    }
}

/// Sweeps with the module in `path`, which is not loaded now.
pub(crate) fn sweep(sweep: &mut Sweep, path: &str) {
    if let Err(failure) = with_file(sweep, path) {
        sweep.failed("load and unload", &failure);
    }
}

fn with_file(sweep: &mut Sweep, path: &str) -> Result<(), Failure> {
    let file = at(path, File::open(path))?;
    // What a load without a fault brings.
    let loaded = load(&file).map_err(|errno| Failure(format!("load {path}: {errno}")))?;
    let heaps: Vec<String> = dma_heap::heaps()?
        .into_iter()
        .filter(dma_heap::HeapInfo::is_ours)
        .map(|heap| heap.name)
        .collect();
    if heaps.is_empty() {
        return fail("the module brings no heap");
    }
    drop(loaded);

    let this = Injection::of_this_thread()?;
    let mut task = |name: &str, injection: &Injection| {
        sweep.checked(
            &Entry {
                name,
                errors: &ERRORS,
                every: false,
            },
            injection,
            || Ok(()),
            |()| load(&file),
            |loaded| loaded.is_complete(&heaps),
        );
    };
    task("load", &this);
    // Not so kdevtmpfs, which makes the nodes: the kernel's device core tells
    // nobody when it could not.
    let Some(pid) = tasks("kthreadd")?.first().copied() else {
        return fail("there is no thread kthreadd");
    };
    task("load, kthreadd's part", &Injection::of_task(pid)?);
    sweep.call(
        &Entry {
            name: "unload",
            errors: &ERRORS,
            every: false,
        },
        || Ok(Some(load(&file)?)),
        |loaded| {
            unload()?;
            if let Some(loaded) = loaded.take() {
                loaded.forget();
            }
            Ok(())
        },
    );
    Ok(())
}
