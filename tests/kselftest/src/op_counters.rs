// SPDX-License-Identifier: GPL-2.0

//! Which exporter ops an importer has reached: the heap counts them in debugfs.

use crate::outcome::Failure;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::skip;
use crate::target::Target;
use crate::unloading;
use std::path::PathBuf;

/// Calls of each op, for all buffers of a heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ops {
    pub(crate) attaches: u64,
    pub(crate) maps: u64,
    pub(crate) vmaps: u64,
    pub(crate) mmaps: u64,
}

impl Ops {
    /// What the heap has counted so far.
    fn now(target: &Target) -> std::io::Result<Self> {
        let counter = |name| counter(target, name);
        Ok(Self {
            attaches: counter("attaches")?,
            maps: counter("maps")?,
            vmaps: counter("vmaps")?,
            mmaps: counter("mmaps")?,
        })
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            attaches: self.attaches.wrapping_sub(earlier.attaches),
            maps: self.maps.wrapping_sub(earlier.maps),
            vmaps: self.vmaps.wrapping_sub(earlier.vmaps),
            mmaps: self.mmaps.wrapping_sub(earlier.mmaps),
        }
    }
}

/// One of the heap's counters.
pub(crate) fn counter(target: &Target, name: &str) -> std::io::Result<u64> {
    let text = std::fs::read_to_string(folder(target).join(name))?;
    text.trim().parse().map_err(std::io::Error::other)
}

fn folder(target: &Target) -> PathBuf {
    PathBuf::from("/sys/kernel/debug/rust_dma_heap").join(target.name())
}

/// Counts from some moment on.
pub(crate) struct Count<'t> {
    target: &'t Target,
    /// `None` for the kernel's own heaps, which do not count.
    before: Option<Ops>,
}

impl<'t> Count<'t> {
    pub(crate) fn start(target: &'t Target) -> Result<Self, Failure> {
        let before = if target.is_ours() {
            Some(Ops::now(target)?)
        } else {
            None
        };
        Ok(Self { target, before })
    }

    /// Fails unless exactly these ops were reached since the start.
    pub(crate) fn expect(&self, when: &str, wanted: Ops) -> Result<(), Failure> {
        let Some(before) = self.before else {
            return Ok(());
        };
        let reached = Ops::now(self.target)?.since(before);
        equal(&format!("{when}, what was reached"), reached, wanted)
    }
}

/// Runs a test whose importer is to let go of everything, and looks if it has:
/// no memory is taken, and nobody uses the module, but for those from before.
pub(crate) fn by_importer(target: &Target, test: impl FnOnce() -> TestResult) -> TestResult {
    if target.is_ours() {
        if let Err(error) = Ops::now(target) {
            return skip(format!(
                "cannot count ops in {}: {error}; mount debugfs and run as root",
                folder(target).display()
            ));
        }
    }
    let used = target.used();
    let users = unloading::users().filter(|_| target.is_ours());
    let outcome = test()?;
    target.expect_used(used)?;
    if let Some(users) = users {
        unloading::expect_users("after all", users)?;
    }
    Ok(outcome)
}
