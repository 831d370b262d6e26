// SPDX-License-Identifier: GPL-2.0

//! A buffer in several hands: descriptors, processes, sockets, mappings.

use crate::Test;
use crate::child;
use crate::mmap::expect;
use crate::mmap::fill;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::Heap;
use dma_heap::pattern::Pattern;
use dma_heap::sys::fork;
use dma_heap::sys::pages::Pages;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

pub(crate) const TESTS: &[Test] = &[
    ("a duplicate descriptor is the same buffer", duplicate),
    ("a forked child has the same buffer", forked),
    (
        "another process has the same buffer, sent over a socket",
        sent,
    ),
    ("a buffer lives while it is on its way", on_its_way),
    ("a buffer that nobody received is freed", not_received),
    (
        "a buffer lives in a mapping after its last close",
        only_mapped,
    ),
    ("a buffer lives after the node was closed", node_closed),
];

/// Pages of the buffers used here.
const PAGES: usize = 5;

fn alloc(target: &Target) -> Result<(Buffer, Pattern), Failure> {
    let buffer = target.heap.alloc(PAGES as u64 * page())?;
    let pattern = Pattern::random()?;
    fill(&mut buffer.map()?, pattern)?;
    Ok((buffer, pattern))
}

fn duplicate(target: &Target) -> TestResult {
    let used = target.used();
    let (first, pattern) = alloc(target)?;
    let held = target.used();
    let second = first.try_clone()?;
    equal("the inode", second.inode()?, first.inode()?)?;
    equal("the size", second.len(), first.len())?;
    expect(&second.map()?, |index| pattern.word(index))?;
    let pattern = Pattern::random()?;
    fill(&mut second.map()?, pattern)?;
    expect(&first.map()?, |index| pattern.word(index))?;
    equal("`used` with the duplicate", target.used(), held)?;
    drop(first);
    expect(&second.map()?, |index| pattern.word(index))?;
    equal("`used` after the first close", target.used(), held)?;
    drop(second);
    target.expect_used(used)?;
    Ok(Pass)
}

fn forked(target: &Target) -> TestResult {
    let used = target.used();
    let (buffer, before) = alloc(target)?;
    let after = Pattern::random()?;
    let result = fork::in_child(|| {
        let told = |error: Failure| error.0;
        let mut mapping = buffer.map().map_err(|error| error.to_string())?;
        expect(&mapping, |index| before.word(index)).map_err(told)?;
        fill(&mut mapping, after).map_err(told)
    })?;
    result.or_else(fail)?;
    expect(&buffer.map()?, |index| after.word(index))?;
    drop(buffer);
    target.expect_used(used)?;
    Ok(Pass)
}

fn sent(target: &Target) -> TestResult {
    let used = target.used();
    let (buffer, before) = alloc(target)?;
    let after = Pattern::random()?;
    child::exchange(&buffer, before, after)?;
    expect(&buffer.map()?, |index| after.word(index))?;
    drop(buffer);
    target.expect_used(used)?;
    Ok(Pass)
}

fn on_its_way(target: &Target) -> TestResult {
    let used = target.used();
    let (near, far) = UnixStream::pair()?;
    let (buffer, pattern) = alloc(target)?;
    let (inode, held) = (buffer.inode()?, target.used());
    buffer.send(&near, b"a buffer")?;
    drop(buffer);
    drop(near);
    equal("`used` on its way", target.used(), held)?;
    let (buffer, note) = Buffer::receive(&far)?;
    equal("the note", note.as_slice(), b"a buffer")?;
    equal("the inode", buffer.inode()?, inode)?;
    expect(&buffer.map()?, |index| pattern.word(index))?;
    drop(buffer);
    target.expect_used(used)?;
    Ok(Pass)
}

fn not_received(target: &Target) -> TestResult {
    let used = target.used();
    let (near, far) = UnixStream::pair()?;
    alloc(target)?.0.send(&near, b"a buffer")?;
    drop(near);
    drop(far);
    target.expect_used(used)?;
    Ok(Pass)
}

fn only_mapped(target: &Target) -> TestResult {
    let used = target.used();
    let (buffer, pattern) = alloc(target)?;
    let mut pages = Pages::map(buffer.as_fd(), 0, PAGES, true)?;
    let held = target.used();
    drop(buffer);
    // Memory that was freed too early would be given out again here.
    let (other, _) = alloc(target)?;
    let words = dma_heap::page_size() / size_of::<u64>();
    for index in 0..PAGES * words {
        let (page, word) = (index / words, index % words);
        equal(
            "a word after the last close",
            pages.load(page, word),
            Some(pattern.word(index)),
        )?;
        pages.store(page, word, !pattern.word(index));
    }
    drop(other);
    equal(
        "the last word, written after the last close",
        pages.load(PAGES - 1, words - 1),
        Some(!pattern.word(PAGES * words - 1)),
    )?;
    target.expect_used(held)?;
    drop(pages);
    target.expect_used(used)?;
    Ok(Pass)
}

fn node_closed(target: &Target) -> TestResult {
    let used = target.used();
    let heap = Heap::open(target.name())?;
    let buffer = heap.alloc(PAGES as u64 * page())?;
    drop(heap);
    let pattern = Pattern::random()?;
    fill(&mut buffer.map()?, pattern)?;
    expect(&buffer.map()?, |index| pattern.word(index))?;
    drop(buffer);
    target.expect_used(used)?;
    Ok(Pass)
}
