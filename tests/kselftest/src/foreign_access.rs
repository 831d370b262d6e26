// SPDX-License-Identifier: GPL-2.0

//! Mappings as others read and write them: debuggers, by `/proc/PID/mem`.

use crate::Test;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::target::Target;
use crate::target::page;
use dma_heap::AllocOptions;
use dma_heap::Errno;
use dma_heap::pattern::Pattern;
use dma_heap::sys::pages::Pages;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;

pub(crate) const TESTS: &[Test] = &[
    ("a debugger reads what a mapping shows", reads),
    ("a debugger writes what a mapping shows", writes),
    ("a debugger reads what nobody has touched", untouched),
    (
        "a debugger does not write to a read-only mapping",
        read_only,
    ),
    (
        "a debugger does not write to an O_RDONLY buffer",
        read_only_buffer,
    ),
];

/// Blocks of several kinds.
const SIZE: u64 = (1 << 20) + (64 << 10);

/// This process's memory, as a debugger sees it.
pub(crate) fn memory() -> Result<File, Failure> {
    let path = "/proc/self/mem";
    Ok(File::options().read(true).write(true).open(path)?)
}

/// Why such an access cannot work on this heap or machine.
pub(crate) fn missing(target: &Target) -> Option<&'static str> {
    if !target.is_ours() {
        Some("the kernel's own heaps let no debugger at their mappings")
    } else if cfg!(target_arch = "arm") {
        Some("a 32-bit ARM kernel has no such calls")
    } else {
        None
    }
}

/// A buffer with a pattern in it, mapped.
fn mapped(target: &Target, write: bool) -> Result<(Pages, Pattern, usize), Failure> {
    let (buffer, pattern) = target.filled(SIZE)?;
    let count = usize::try_from(buffer.len() / page())?;
    Ok((Pages::map(buffer.as_fd(), 0, count, write)?, pattern, count))
}

fn words_of_a_page() -> usize {
    dma_heap::page_size() / size_of::<u64>()
}

fn reads(target: &Target) -> TestResult {
    if let Some(why) = missing(target) {
        return skip(why);
    }
    let (pages, pattern, count) = mapped(target, true)?;
    // Touched in part, so that some pages have an entry and others none.
    for index in (0..count).step_by(3) {
        equal(
            "a word",
            pages.load(index, 0),
            Some(pattern.word(index * words_of_a_page())),
        )?;
    }
    // Across pages and blocks, from no page's start.
    let mut bytes = vec![0; usize::try_from(SIZE)? - 24];
    memory()?.read_exact_at(&mut bytes, pages.address() as u64 + 16)?;
    for (index, word) in bytes.chunks_exact(8).enumerate() {
        let wanted = pattern.word(index + 2).to_ne_bytes();
        if word != wanted {
            return fail(format!(
                "word {} reads {word:?} instead of {wanted:?}",
                index + 2
            ));
        }
    }
    Ok(Pass)
}

fn writes(target: &Target) -> TestResult {
    if let Some(why) = missing(target) {
        return skip(why);
    }
    let (pages, pattern, count) = mapped(target, true)?;
    let value = Pattern::random()?;
    let words = words_of_a_page();
    // From the last word of a page to the first of the next but one.
    let bytes: Vec<u8> = (0..words + 2)
        .flat_map(|index| value.word(index).to_ne_bytes())
        .collect();
    let at = pages.address() + dma_heap::page_size() - size_of::<u64>();
    memory()?.write_all_at(&bytes, at as u64)?;
    let seen = [(0, words - 1), (1, 0), (1, words - 1), (2, 0)].map(|(n, it)| pages.load(n, it));
    let wanted = [0, 1, words, words + 1].map(|index| Some(value.word(index)));
    equal("what was written", seen, wanted)?;
    equal(
        "the word before",
        pages.load(0, words - 2),
        Some(pattern.word(words - 2)),
    )?;
    equal(
        "the word behind",
        pages.load(2, 1),
        Some(pattern.word(2 * words + 1)),
    )?;
    equal(
        "the last page",
        pages.load(count - 1, 0),
        Some(pattern.word((count - 1) * words)),
    )?;
    Ok(Pass)
}

fn untouched(target: &Target) -> TestResult {
    if let Some(why) = missing(target) {
        return skip(why);
    }
    let buffer = target.heap.alloc(SIZE)?;
    let pages = Pages::map(buffer.as_fd(), 0, 1, true)?;
    let mut bytes = vec![0xff; dma_heap::page_size()];
    memory()?.read_exact_at(&mut bytes, pages.address() as u64)?;
    equal(
        "what is not zero",
        bytes.iter().filter(|byte| **byte != 0).count(),
        0,
    )?;
    Ok(Pass)
}

/// Tries to write a word to a mapping, which must stay as it was.
fn is_refused(pages: &Pages, wanted: Option<u64>) -> TestResult {
    let error = memory()?.write_at(&[0xa5; 8], pages.address() as u64).err();
    let errno = error.as_ref().and_then(Errno::from_io_error);
    equal("the error of a write", errno, Some(Errno::IO))?;
    equal("the word", pages.load(0, 0), wanted)?;
    Ok(Pass)
}

fn read_only(target: &Target) -> TestResult {
    if let Some(why) = missing(target) {
        return skip(why);
    }
    let (pages, pattern, _) = mapped(target, false)?;
    is_refused(&pages, Some(pattern.word(0)))
}

fn read_only_buffer(target: &Target) -> TestResult {
    if let Some(why) = missing(target) {
        return skip(why);
    }
    let options = AllocOptions {
        write: false,
        ..AllocOptions::default()
    };
    let buffer = target.heap.alloc_with(SIZE, options)?;
    is_refused(&Pages::map(buffer.as_fd(), 0, 1, false)?, Some(0))
}
