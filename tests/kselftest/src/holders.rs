// SPDX-License-Identifier: GPL-2.0

//! `dmaheap holders` finds buffers that nothing else names: those that are only mapped, and
//! those that only the kernel has.

use crate::Test;
use crate::device;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::importer::Direction;
use dma_heap::sys::pages::Pages;
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::process::Command;

pub(crate) const TESTS: &[Test] = &[
    ("a buffer that is open is found by its process", open),
    ("one that is only mapped is, too", only_mapped),
    ("one that only a device has is found", only_attached),
];

/// Runs a test with what `dmaheap holders` says, as rows of cells. Skips it where the program is
/// not there.
fn with_program(
    test: impl FnOnce(&dyn Fn(&str) -> Result<Rows, Failure>) -> TestResult,
) -> TestResult {
    match Command::new("dmaheap").arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return skip("the program dmaheap is not there: install it, or put it into PATH");
        }
        _ => {}
    }
    test(&|who| {
        let output = Command::new("dmaheap")
            .args(["holders", who, "--csv"])
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        Ok(Rows(
            text.lines()
                .skip(1)
                .map(|line| line.split(',').map(str::to_owned).collect())
                .collect(),
        ))
    })
}

/// Lines without the header.
struct Rows(Vec<Vec<String>>);

impl Rows {
    /// Process, size, descriptors and mapped bytes of the one line.
    fn one(&self) -> Result<[String; 4], Failure> {
        let [row] = &*self.0 else {
            return fail(format!("there are {} lines: {:?}", self.0.len(), self.0));
        };
        let cell = |at: usize| row.get(at).cloned().unwrap_or_default();
        Ok([cell(0), cell(3), cell(4), cell(5)])
    }
}

fn named(target: &Target) -> Result<(Buffer, String), Failure> {
    let buffer = target.heap.alloc(3 * page())?;
    // Nobody else has one of that name.
    let name = format!("held-{}-{}", std::process::id(), buffer.inode()?);
    buffer.set_name(&name)?;
    Ok((buffer, name))
}

fn open(target: &Target) -> TestResult {
    with_program(|holders| {
        let (buffer, name) = named(target)?;
        let clone = buffer.try_clone()?;
        let (own, size) = (std::process::id().to_string(), (3 * page()).to_string());
        let wanted = [own, size, "2".to_owned(), String::new()];
        equal("the line", holders(&name)?.one()?, wanted)?;
        drop((buffer, clone));
        equal("lines when it is closed", holders(&name)?.0.len(), 0)?;
        Ok(Pass)
    })
}

fn only_mapped(target: &Target) -> TestResult {
    with_program(|holders| {
        let (buffer, name) = named(target)?;
        let mapping = Pages::map(buffer.as_fd(), 1, 2, false)?;
        drop(buffer);
        let [process, _size, descriptors, mapped] = holders(&name)?.one()?;
        equal("the process", process, std::process::id().to_string())?;
        equal("descriptors", descriptors, "0".to_owned())?;
        equal("mapped bytes", mapped, (2 * page()).to_string())?;
        drop(mapping);
        equal("lines when it is unmapped", holders(&name)?.0.len(), 0)?;
        Ok(Pass)
    })
}

fn only_attached(target: &Target) -> TestResult {
    with_program(|holders| {
        device::with_any(|importer| {
            let (buffer, name) = named(target)?;
            let attachment = importer.attach(&buffer)?;
            let mapping = attachment.map(Direction::Both)?;
            drop(buffer);
            let [process, _size, descriptors, mapped] = holders(&name)?.one()?;
            let nothing = [String::new(), String::new(), String::new()];
            equal("the process", [process, descriptors, mapped], nothing)?;
            mapping.release()?;
            attachment.release()?;
            Ok(Pass)
        })
    })
}
