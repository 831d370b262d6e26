// SPDX-License-Identifier: GPL-2.0

//! The kernel's fault injection: the n-th allocation (or copy from or to user
//! memory) of one task fails.
//!
//! Documentation/fault-injection/fault-injection.rst of the kernel has the files.

use crate::failure::Failure;
use crate::failure::at;
use crate::failure::fail;
use rustix::io::Errno;
use std::fs::File;
use std::fs::OpenOptions;
use std::path::Path;

const DEBUGFS: &str = "/sys/kernel/debug";

/// What makes all allocations candidates: those that may wait, those of high
/// memory, and single pages. Nothing is printed: what failed is seen by the
/// tracer, which also sees what must not print.
const KNOBS: [(&str, &str); 9] = [
    ("failslab/ignore-gfp-wait", "N"),
    ("failslab/cache-filter", "N"),
    ("failslab/verbose", "0"),
    ("fail_page_alloc/ignore-gfp-wait", "N"),
    ("fail_page_alloc/ignore-gfp-highmem", "N"),
    ("fail_page_alloc/min-order", "0"),
    ("fail_page_alloc/verbose", "0"),
    ("fail_usercopy/verbose", "0"),
    // Only tasks that are armed, by their number.
    ("fail_page_alloc/probability", "0"),
];

/// Readies the machine. An error names what its kernel lacks.
pub(crate) fn set_up() -> Result<(), Failure> {
    for (knob, value) in KNOBS {
        let path = format!("{DEBUGFS}/{knob}");
        if !Path::new(&path).exists() {
            return fail(format!(
                "{path} is not there: the kernel needs CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC, \
                 CONFIG_FAULT_INJECTION_USERCOPY and CONFIG_FAULT_INJECTION_DEBUG_FS, and debugfs \
                 must be mounted"
            ));
        }
        at(&path, std::fs::write(&path, value))?;
    }
    spare_kmemleak()
}

/// Each allocation has kmemleak make another one, to note it, for which it has
/// a reserve. When that is used up, kmemleak turns itself off: so those do not
/// fail.
fn spare_kmemleak() -> Result<(), Failure> {
    let symbols = at("/proc/kallsyms", std::fs::read_to_string("/proc/kallsyms"))?;
    let Some((start, end)) = kmemleak_text(&symbols) else {
        return Ok(());
    };
    for injection in ["failslab", "fail_page_alloc"] {
        for (knob, value) in [("reject-start", start), ("reject-end", end)] {
            let path = format!("{DEBUGFS}/{injection}/{knob}");
            at(&path, std::fs::write(&path, format!("{value:#x}")))?;
        }
    }
    Ok(())
}

/// Where the functions lie by which kmemleak allocates: in its source, and so in
/// its code, they come before those that scan.
fn kmemleak_text(symbols: &str) -> Option<(u64, u64)> {
    /// More than the code of any source file.
    const FAR: u64 = 1 << 18;
    let address_of = |line: &str, names: &[&str]| {
        let (address, rest) = line.split_once(' ')?;
        let name = rest.strip_prefix(['t', 'T'])?.trim_start();
        let address = u64::from_str_radix(address, 16).ok()?;
        names.contains(&name).then_some(address)
    };
    let end = symbols
        .lines()
        .find_map(|line| address_of(line, &["kmemleak_scan"]))?;
    let start = symbols
        .lines()
        .filter_map(|line| address_of(line, &ALLOCATING))
        .filter(|start| *start < end && end - start < FAR)
        .min()?;
    Some((start, end))
}

/// Functions of kmemleak below which it allocates. Some may have become part of
/// others, and other files have some of these names, too.
pub(crate) const ALLOCATING: [&str; 4] = [
    "mem_pool_alloc",
    "__alloc_object",
    "__create_object",
    "create_object",
];

/// The injection of one task.
#[derive(Debug)]
pub(crate) struct Injection {
    file: File,
    path: String,
    task: u32,
}

/// What came of an injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Injected {
    /// Something failed.
    Yes,
    /// There were not so many allocations.
    No,
}

impl Injection {
    /// Of the calling thread.
    pub(crate) fn of_this_thread() -> Result<Self, Failure> {
        let task = rustix::thread::gettid().as_raw_nonzero().get();
        Self::open("/proc/thread-self/fail-nth".into(), u32::try_from(task)?)
    }

    /// Of another task, as a kernel thread.
    pub(crate) fn of_task(pid: u32) -> Result<Self, Failure> {
        Self::open(format!("/proc/{pid}/fail-nth"), pid)
    }

    fn open(path: String, task: u32) -> Result<Self, Failure> {
        let file = OpenOptions::new().read(true).write(true).open(&path);
        Ok(Self {
            file: at(&path, file)?,
            path,
            task,
        })
    }

    /// The number of the task.
    pub(crate) fn task(&self) -> u32 {
        self.task
    }

    /// Has the `n`th allocation from now on fail.
    pub(crate) fn arm(&self, n: u32) -> Result<(), Failure> {
        let mut text = [0; 10];
        let digits = decimal(n, &mut text);
        self.put(digits).map_err(|errno| self.failure(errno))
    }

    /// Nothing fails any more. Tells whether something has.
    pub(crate) fn disarm(&self) -> Result<Injected, Failure> {
        let mut text = [0; 16];
        let len = match rustix::io::pread(&self.file, &mut text, 0) {
            Ok(len) => len,
            // The first to fail was this.
            Err(Errno::FAULT) => return Ok(Injected::No),
            Err(errno) => return Err(self.failure(errno)),
        };
        let left = text.get(..len).unwrap_or(&[]).trim_ascii();
        if left == b"0" {
            return Ok(Injected::Yes);
        }
        // To turn it off may be what fails. Then it is off.
        match self.put(b"0") {
            Ok(()) | Err(Errno::FAULT) => Ok(Injected::No),
            Err(errno) => Err(self.failure(errno)),
        }
    }

    /// Tells whether it has failed already; leaves it armed if not. For another
    /// task only: of this one, the look itself might fail.
    pub(crate) fn has_struck(&self) -> Result<bool, Failure> {
        let mut text = [0; 16];
        let len = rustix::io::pread(&self.file, &mut text, 0);
        let len = len.map_err(|errno| self.failure(errno))?;
        Ok(text.get(..len).unwrap_or(&[]).trim_ascii() == b"0")
    }

    fn put(&self, text: &[u8]) -> rustix::io::Result<()> {
        rustix::io::pwrite(&self.file, text, 0).map(drop)
    }

    fn failure(&self, errno: Errno) -> Failure {
        Failure(format!("{}: {errno}", self.path))
    }
}

/// A number in digits, without memory of the heap: between arming and the call
/// that is meant nothing else shall allocate.
fn decimal(mut number: u32, text: &mut [u8; 10]) -> &[u8] {
    let mut first = text.len();
    for (index, digit) in text.iter_mut().enumerate().rev() {
        // A digit is less than ten.
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first = index;
        if number == 0 {
            break;
        }
    }
    text.get(first..).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_digits() {
        for number in [0, 1, 9, 10, 1907, u32::MAX] {
            let mut text = [0; 10];
            assert_eq!(decimal(number, &mut text), number.to_string().as_bytes());
        }
    }

    #[test]
    fn kmemleak_is_found_by_its_functions() {
        let symbols = "ffffffff81001000 t create_object\nffffffff81202000 t __alloc_object\n\
                       ffffffff81202800 t __create_object\nffffffff81203000 t kmemleak_scan\n\
                       ffffffff81204000 t create_object\n";
        assert_eq!(
            kmemleak_text(symbols),
            Some((0xffff_ffff_8120_2000, 0xffff_ffff_8120_3000))
        );
        assert_eq!(kmemleak_text("ffffffff81001000 T kmalloc\n"), None);
    }
}
