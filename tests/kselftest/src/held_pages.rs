// SPDX-License-Identifier: GPL-2.0

//! Pages that a driver goes on using when their buffer has ended.

use crate::Test;
use crate::device;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::errno;
use crate::outcome::skip;
use crate::target::Target;
use dma_heap::Errno;
use dma_heap::importer::Direction;

pub(crate) const TESTS: &[Test] = &[(
    "a page that somebody still uses hides no other memory",
    hides_nothing,
)];

const MIB: u64 = 1 << 20;

fn hides_nothing(target: &Target) -> TestResult {
    // Elsewhere others take memory, too.
    let Some(whole) = target.limit().filter(|_| target.name() == "carveout") else {
        return skip("what this heap has is not its own alone");
    };
    if device::all_bounce()? {
        return skip("a device that bounces does not have the buffer's pages");
    }
    device::with_any(|importer| {
        let used = target.used();
        let buffer = target.heap.alloc(whole)?;
        let attachment = importer.attach(&buffer)?;
        let mapping = attachment.map(Direction::Both)?;
        // Of the second MiB, so that there is memory on both sides.
        let page = mapping.hold_page(MIB)?;
        mapping.release()?;
        attachment.release()?;
        drop(buffer);
        target.expect_used(used)?;

        let buffers: Vec<_> = std::iter::from_fn(|| target.heap.alloc(MIB).ok()).collect();
        let count = u64::try_from(buffers.len())?;
        equal("buffers of 1 MiB beside it", count, whole / MIB - 1)?;
        drop(buffers);
        target.expect_used(used)?;
        let refused = errno(target.heap.alloc(whole)).map(drop);
        equal("all of it, with the page", refused, Err(Errno::NOMEM))?;
        drop(page);
        target.heap.alloc(whole)?;
        Ok(Pass)
    })
}
