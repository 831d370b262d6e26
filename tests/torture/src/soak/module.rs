// SPDX-License-Identifier: GPL-2.0

//! Unloading the module while it is used, and when it is not.

use crate::heaps;
use anyhow::Context as _;
use dma_heap::Errno;
use dma_heap::MODULE_NAME;
use rustix::fs::OFlags;
use std::ffi::CString;
use std::fs::File;
use std::path::PathBuf;

pub(super) struct Module {
    /// Where to load it from again.
    pub(super) path: Option<PathBuf>,
    pub(super) heaps: Vec<String>,
    /// Bytes that were given back because the machine needed them, until the
    /// counters began anew.
    reclaimed: u64,
    pub(super) unloads: u64,
    pub(super) refusals: u64,
}

impl Module {
    pub(super) fn new(path: Option<PathBuf>, heaps: Vec<String>) -> Self {
        Self {
            path,
            heaps,
            reclaimed: 0,
            unloads: 0,
            refusals: 0,
        }
    }

    fn counted(&self) -> u64 {
        self.heaps
            .iter()
            .filter_map(|heap| heaps::counter(heap, "reclaimed"))
            .sum()
    }

    pub(super) fn reclaimed(&self) -> u64 {
        self.reclaimed + self.counted()
    }

    /// Tries to unload; returns whether that is done.
    pub(super) fn unload(&mut self) -> anyhow::Result<bool> {
        let name = CString::new(MODULE_NAME)?;
        let reclaimed = self.counted();
        // Non-blocking, as rmmod does it.
        let flags = i32::try_from(OFlags::NONBLOCK.bits())?;
        match rustix::system::delete_module(&name, flags) {
            Ok(()) => {
                self.reclaimed += reclaimed;
                self.unloads += 1;
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::BUSY) => {
                self.refusals += 1;
                Ok(false)
            }
            Err(errno) => Err(errno).context("the module cannot be unloaded"),
        }
    }

    pub(super) fn load(&self) -> anyhow::Result<()> {
        let path = self.path.as_ref().context("no --module to load again")?;
        let file = File::open(path).with_context(|| path.display().to_string())?;
        rustix::system::finit_module(&file, c"", 0).context("the module does not load again")?;
        for heap in &self.heaps {
            if !heaps::settles(|| heaps::attribute(heap, "used") == Some(0)) {
                anyhow::bail!("the module is loaded again, but the heap {heap} is not there");
            }
        }
        Ok(())
    }
}
