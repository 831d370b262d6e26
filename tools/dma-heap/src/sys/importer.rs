// SPDX-License-Identifier: GPL-2.0

//! The ioctls of the module dma_buf_test_importer: six 64-bit words each way.

use rustix::io::Result;
use rustix::ioctl::Direction;
use rustix::ioctl::Ioctl;
use rustix::ioctl::IoctlOutput;
use rustix::ioctl::Opcode;
use rustix::ioctl::opcode::from_components;
use std::ffi::c_void;
use std::fs::File;
use std::os::fd::AsFd as _;

/// What each command takes and returns.
pub(crate) type Words = [u64; 6];

/// Commands that look at the words only.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Device = 0,
    Attach = 1,
    Map = 2,
    Range = 3,
    Vmap = 6,
    Release = 9,
    BeginCpuAccess = 10,
    EndCpuAccess = 11,
    TimeVmaps = 12,
    Edu = 13,
    Load = 14,
    Store = 15,
    LoadAt = 16,
    StoreAt = 17,
    TimeMaps = 18,
    CpuSum = 19,
    TryMap = 20,
    KeepAttachments = 21,
    StoreAndDetach = 22,
    HoldPage = 23,
    Locked = 24,
    Mask = 25,
}

/// What a transfer goes through.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// A mapping, by DMA address.
    Dma,
    /// A vmap.
    Vmap,
}

struct Request {
    number: u8,
    words: Words,
}

// SAFETY: The request number encodes the size of `Words`, which the kernel
// reads and writes. What a word points to is for who makes a `Request`.
unsafe impl Ioctl for Request {
    type Output = Words;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        from_components(Direction::ReadWrite, b'I', self.number, size_of::<Words>())
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.words.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, words: *mut c_void) -> Result<Words> {
        // SAFETY: The pointer is that of `as_ptr`.
        Ok(unsafe { words.cast::<Words>().read() })
    }
}

/// An open file of the test importer.
///
/// # Invariants
///
/// It is the character device that the module dma_buf_test_importer made.
#[derive(Debug)]
pub(crate) struct ImporterFile(File);

impl ImporterFile {
    /// Takes the open node.
    pub(crate) fn new(node: File) -> Self {
        // INVARIANT: The crate calls this for the node of that name only.
        Self(node)
    }

    /// Runs a command and returns its words.
    pub(crate) fn run(&self, command: Command, words: Words) -> Result<Words> {
        let request = Request {
            number: command as u8,
            words,
        };
        // SAFETY: By the invariant, the file is the importer's. It takes none
        // of the words of these commands for an address.
        unsafe { rustix::ioctl::ioctl(self.0.as_fd(), request) }
    }

    /// Reads from byte `offset` of object `id` on.
    pub(crate) fn read(&self, way: Way, id: u64, offset: u64, to: &mut [u8]) -> Result<()> {
        let request = Request {
            number: match way {
                Way::Dma => 4,
                Way::Vmap => 7,
            },
            words: transfer(id, offset, to.as_mut_ptr(), to.len()),
        };
        // SAFETY: By the invariant, the file is the importer's. It writes to
        // the bytes of `to`, which are lent mutably for the call.
        unsafe { rustix::ioctl::ioctl(self.0.as_fd(), request) }.map(drop)
    }

    /// Writes from byte `offset` of object `id` on.
    pub(crate) fn write(&self, way: Way, id: u64, offset: u64, from: &[u8]) -> Result<()> {
        let request = Request {
            number: match way {
                Way::Dma => 5,
                Way::Vmap => 8,
            },
            words: transfer(id, offset, from.as_ptr(), from.len()),
        };
        // SAFETY: By the invariant, the file is the importer's. It only reads
        // the bytes of `from`.
        unsafe { rustix::ioctl::ioctl(self.0.as_fd(), request) }.map(drop)
    }
}

/// The words of a transfer. Lossless: addresses and lengths have at most 64
/// bits.
fn transfer(id: u64, offset: u64, memory: *const u8, len: usize) -> Words {
    // The kernel will use the address, which a bare cast would not tell the
    // compiler.
    [
        id,
        offset,
        len as u64,
        memory.expose_provenance() as u64,
        0,
        0,
    ]
}
