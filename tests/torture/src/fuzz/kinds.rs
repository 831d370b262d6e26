// SPDX-License-Identifier: GPL-2.0

//! What the fuzzer does, how often, and which refusals are documented.

use super::buffer;
use super::importer;
use super::knobs;
use super::memory;
use super::node;
use super::worker::Hand;
use super::worker::Worker;
use dma_heap::Errno;
use dma_heap::rng::Rng;

/// What came of an operation.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It did what it should: had an effect, or was refused as it must be.
    Done,
    /// It was refused, which may be.
    Refused(Errno),
    /// What must not be.
    Wrong(String),
}

impl<T> From<Result<T, Errno>> for Outcome {
    fn from(result: Result<T, Errno>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(errno) => Self::Refused(errno),
        }
    }
}

impl Outcome {
    /// Of something that must be refused with one of `errnos`.
    pub(crate) fn refusal<T>(result: Result<T, Errno>, errnos: &[Errno]) -> Self {
        match result {
            Ok(_) => Self::Wrong(format!("succeeded; must be one of {errnos:?}")),
            Err(errno) if errnos.contains(&errno) => Self::Done,
            Err(errno) => Self::Refused(errno),
        }
    }

    pub(crate) fn wrong(what: impl Into<String>) -> Self {
        Self::Wrong(what.into())
    }
}

/// Who may do it.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// The thread that owns the worker's memory.
    Owner(fn(&mut Worker, &mut Rng) -> Outcome),
    /// Also the thread that disturbs it: makes no descriptor but of a fixed
    /// number, and allocates nothing.
    Anyone(fn(&Hand, &mut Rng) -> Outcome),
}

/// A kind of operation.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// How often, in relation to the others.
    pub(crate) weight: u32,
    /// Whether the module dma_buf_test_importer must be loaded.
    pub(crate) needs_importer: bool,
    /// Refusals that may be.
    pub(crate) errnos: &'static [Errno],
    pub(crate) run: Run,
}

const fn owner(
    name: &'static str,
    weight: u32,
    errnos: &'static [Errno],
    run: fn(&mut Worker, &mut Rng) -> Outcome,
) -> Kind {
    Kind {
        name,
        weight,
        needs_importer: false,
        errnos,
        run: Run::Owner(run),
    }
}

const fn anyone(
    name: &'static str,
    weight: u32,
    errnos: &'static [Errno],
    run: fn(&Hand, &mut Rng) -> Outcome,
) -> Kind {
    Kind {
        name,
        weight,
        needs_importer: false,
        errnos,
        run: Run::Anyone(run),
    }
}

const fn device(
    name: &'static str,
    weight: u32,
    errnos: &'static [Errno],
    run: fn(&mut Worker, &mut Rng) -> Outcome,
) -> Kind {
    Kind {
        name,
        weight,
        needs_importer: true,
        errnos,
        run: Run::Owner(run),
    }
}

use Errno as E;

/// All of them.
pub(crate) const KINDS: &[Kind] = &[
    // The nodes.
    owner("allocate", 20, &[E::NOMEM], node::allocate),
    owner(
        "allocate, and read: zero",
        4,
        &[E::NOMEM],
        node::allocate_and_read,
    ),
    owner("allocate, almost right", 25, &[E::NOMEM], node::almost),
    owner("garbage to a node", 60, &[E::NOMEM], node::garbage),
    owner("other calls on a node", 15, &[], node::others),
    owner("open and close a node", 5, &[], node::reopen),
    // Descriptors of dma-bufs. EBADF: the slot is empty, or was just emptied.
    anyone("sync", 80, &[E::BADF, E::INTR, E::AGAIN], buffer::sync),
    anyone("sync, wrongly", 20, &[E::BADF], buffer::sync_wrongly),
    anyone("set name", 30, &[E::BADF], buffer::set_name),
    anyone(
        "set name, wrongly",
        15,
        &[E::BADF],
        buffer::set_name_wrongly,
    ),
    owner(
        "export sync file",
        15,
        &[E::BADF, E::NOMEM],
        buffer::export_fence,
    ),
    owner(
        "import sync file",
        15,
        &[E::BADF, E::INVAL, E::NOMEM],
        buffer::import_fence,
    ),
    anyone("garbage to a dma-buf", 40, &[E::BADF], buffer::garbage),
    anyone("lseek", 30, &[E::BADF], buffer::seek),
    anyone("poll", 20, &[E::INTR], buffer::poll),
    anyone("other calls on a dma-buf", 15, &[E::BADF], buffer::others),
    owner("look at a dma-buf", 6, &[E::BADF], buffer::look),
    anyone("dup", 40, &[E::BADF], buffer::dup),
    anyone("close", 6, &[E::BADF], buffer::close),
    owner(
        "send to another process",
        15,
        // No such process (yet, or any more), or it takes no more.
        &[E::BADF, E::CONNREFUSED, E::AGAIN, E::TOOMANYREFS],
        buffer::send,
    ),
    owner(
        "receive from another process",
        15,
        &[E::AGAIN],
        buffer::receive,
    ),
    // Memory.
    owner(
        "mmap",
        50,
        // EINVAL: the buffer was replaced by a smaller one meanwhile.
        &[E::BADF, E::ACCESS, E::PERM, E::INVAL, E::NOMEM, E::AGAIN],
        memory::map,
    ),
    owner(
        "mmap, wrongly",
        15,
        &[E::BADF, E::ACCESS],
        memory::map_wrongly,
    ),
    owner("munmap", 12, &[], memory::unmap),
    owner(
        "mremap",
        15,
        // EINTR: where MADV_MERGEABLE was.
        &[E::FAULT, E::INVAL, E::NOMEM, E::INTR],
        memory::remap,
    ),
    owner("mprotect", 20, &[E::ACCESS, E::NOMEM], memory::protect),
    owner(
        "madvise",
        30,
        &[
            E::INVAL,
            E::NOMEM,
            E::BADF,
            E::AGAIN,
            E::IO,
            E::PERM,
            E::FAULT,
            E::BUSY,
            E::ACCESS,
            // A dma-buf is no regular file of which a part could be removed.
            E::NODEV,
            E::INTR,
        ],
        memory::advise,
    ),
    owner("msync", 10, &[E::NOMEM, E::BUSY, E::INVAL], memory::sync),
    owner("mlock, munlock", 6, &[E::NOMEM, E::AGAIN], memory::lock),
    owner(
        "remap_file_pages",
        6,
        &[E::INVAL, E::NOMEM, E::FAULT, E::ACCESS],
        memory::remap_pages,
    ),
    owner(
        "read through a mapping",
        50,
        &[E::FAULT, E::AGAIN],
        memory::read,
    ),
    owner(
        "write through a mapping",
        50,
        &[E::FAULT, E::AGAIN],
        memory::write,
    ),
    owner(
        "write and read again, directly",
        2,
        &[E::NOMEM],
        memory::round_trip,
    ),
    owner("pin a mapping's pages", 2, &[E::NOMEM], memory::pin),
    owner(
        "fork, and touch mappings",
        1,
        &[E::AGAIN, E::NOMEM],
        memory::fork,
    ),
    // Importers. EINVAL: no such object.
    device("importer: a new device", 2, &[E::NOMEM], importer::renew),
    device(
        "importer: attach",
        30,
        &[E::BADF, E::INVAL, E::NOMEM, E::NODEV],
        importer::attach,
    ),
    device(
        "importer: map",
        60,
        &[E::INVAL, E::BUSY, E::NOMEM, E::NODEV],
        importer::map,
    ),
    device(
        "importer: DMA",
        50,
        &[E::INVAL, E::FAULT, E::NODEV, E::NOMEM],
        importer::dma,
    ),
    device(
        "importer: ranges",
        10,
        &[E::INVAL, E::NODEV],
        importer::range,
    ),
    device(
        "importer: vmap",
        12,
        &[E::BADF, E::INVAL, E::NOMEM, E::NODEV],
        importer::vmap,
    ),
    device(
        "importer: use a vmap",
        30,
        &[E::INVAL, E::FAULT, E::NODEV, E::NOMEM],
        importer::use_vmap,
    ),
    device(
        "importer: CPU access",
        15,
        &[E::BADF, E::INVAL, E::INTR],
        importer::cpu_access,
    ),
    device(
        "importer: release",
        35,
        &[E::INVAL, E::NODEV],
        importer::release,
    ),
    device(
        "importer: many maps",
        3,
        &[E::BADF, E::INVAL, E::NOMEM, E::NODEV, E::BUSY],
        importer::many_maps,
    ),
    device(
        "importer: many vmaps",
        2,
        &[E::BADF, E::INVAL, E::NOMEM],
        importer::many_vmaps,
    ),
    device("garbage to the importer", 10, &[], importer::garbage),
    // Knobs.
    owner("turn a knob", 3, &[], knobs::turn),
    owner("turn a knob, wrongly", 3, &[], knobs::turn_wrongly),
    owner("read an attribute", 5, &[], knobs::read),
    owner("read a counter", 3, &[], knobs::count),
];

/// The rare ones, in operations of a worker between two of them: they take the
/// machine long. The numbers are prime, so that none is always due with another.
pub(crate) const RARE: &[(u64, Kind)] = &[
    (3989, owner("drop caches", 0, &[], knobs::drop_caches)),
    (19_997, owner("compact memory", 0, &[], knobs::compact)),
];
