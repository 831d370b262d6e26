// SPDX-License-Identifier: GPL-2.0

//! What all buffers of a heap together may take.

use crate::Test;
use crate::mmap::expect;
use crate::mmap::fill;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::errno;
use crate::outcome::refused;
use crate::outcome::skip;
use crate::target::Target;
use crate::target::page;
use dma_heap::Errno;
use dma_heap::pattern::Pattern;
use std::path::PathBuf;

pub(crate) const TESTS: &[Test] = &[
    ("a limit below what is used keeps the buffers", below_used),
    ("a limit is exact to the page", exact),
];

/// The kernel's own heaps go on until the OOM killer ends it.
pub(crate) const NO_LIMIT: &str = "the kernel's own heaps have no limit";

/// A heap's limit, or that of its users, put back on drop.
pub(crate) struct Limit {
    path: PathBuf,
    before: u64,
}

impl Limit {
    /// Sets the limit, or says why that cannot be done.
    pub(crate) fn set(target: &Target, before: u64, bytes: u64) -> Result<Self, String> {
        Self::write(target, "limit", before, bytes)
    }

    /// Sets the limit of each user, or says why that cannot be done.
    pub(crate) fn set_of_user(target: &Target, bytes: u64) -> Result<Self, String> {
        match target.user_limit() {
            Some(before) => Self::write(target, "user_limit", before, bytes),
            None => Err("the heap has no user_limit".into()),
        }
    }

    fn write(target: &Target, name: &str, before: u64, bytes: u64) -> Result<Self, String> {
        let Some(dir) = &target.info().sysfs else {
            return Err("the heap has no directory in sysfs".into());
        };
        let path = dir.join(name);
        match std::fs::write(&path, format!("{bytes}\n")) {
            Ok(()) => Ok(Self { path, before }),
            Err(error) => Err(format!(
                "the heap's {name} cannot be set to {bytes}: {error}; run as root"
            )),
        }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // It was written a moment ago with the same rights.
        let _ = std::fs::write(&self.path, format!("{}\n", self.before));
    }
}

fn below_used(target: &Target) -> TestResult {
    let (Some(before), Some(used)) = (target.limit(), target.used()) else {
        return skip(NO_LIMIT);
    };
    let buffer = target.heap.alloc(8 * page())?;
    let pattern = Pattern::random()?;
    fill(&mut buffer.map()?, pattern)?;
    let lowered = match Limit::set(target, before, used + 4 * page()) {
        Ok(limit) => limit,
        Err(reason) => return skip(reason),
    };
    equal("the new limit", target.limit(), Some(used + 4 * page()))?;
    let one_more = || errno(target.heap.alloc(page()));
    refused("one page more", one_more(), Errno::NOMEM)?;
    expect(&buffer.map()?, |index| pattern.word(index))?;
    equal("`used`", target.used(), Some(used + 8 * page()))?;
    drop(buffer);
    target.expect_used(Some(used))?;
    one_more()?;
    drop(lowered);
    equal("the limit put back", target.limit(), Some(before))?;
    target.heap.alloc(8 * page())?;
    Ok(Pass)
}

fn exact(target: &Target) -> TestResult {
    let (Some(before), Some(used)) = (target.limit(), target.used()) else {
        return skip(NO_LIMIT);
    };
    let lowered = match Limit::set(target, before, used + 4 * page()) {
        Ok(limit) => limit,
        Err(reason) => return skip(reason),
    };
    let alloc = |pages: u64| errno(target.heap.alloc(pages * page()));
    refused("a page above the limit", alloc(5), Errno::NOMEM)?;
    let first = alloc(3)?;
    refused("two pages where one is left", alloc(2), Errno::NOMEM)?;
    let second = alloc(1)?;
    refused("a page where none is left", alloc(1), Errno::NOMEM)?;
    drop(first);
    target.expect_used(Some(used + page()))?;
    alloc(3)?;
    drop(second);
    drop(lowered);
    equal("the limit put back", target.limit(), Some(before))?;
    target.expect_used(Some(used))?;
    Ok(Pass)
}
