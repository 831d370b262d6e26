// SPDX-License-Identifier: GPL-2.0

//! Graphics drivers of the kernel that import buffers: vgem, which only
//! attaches them, bochs, which copies them to a screen, and virtio-gpu, which gives
//! them to the machine's host.

use crate::Test;
use crate::mmap::expect;
use crate::mmap::fill;
use crate::op_counters::Count;
use crate::op_counters::Ops;
use crate::op_counters::by_importer;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::system;
use crate::target::Target;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::pattern::Pattern;
use drm::Device as _;
use drm::buffer::DrmFourcc;
use drm::buffer::Handle;
use drm::control::Device as _;
use drm::control::Mode;
use drm::control::connector;
use drm::control::connector::State;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

pub(crate) const TESTS: &[Test] = &[
    ("vgem attaches a buffer, once for each of its files", attach),
    ("what comes back from vgem is the buffer", back),
    ("bochs shows buffers, with a vmap for each commit", screen),
    ("virtio-gpu has a buffer mapped while it has it", held),
];

/// A size with blocks of several kinds.
const LARGE: u64 = (1 << 20) + (192 << 10);

/// An open graphics device.
pub(crate) struct Card(File);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Card {}
impl drm::control::Device for Card {}

impl Card {
    /// Opens the first device of a driver, if there is one.
    fn open(driver: &str) -> io::Result<Option<Self>> {
        let entries = match std::fs::read_dir("/dev/dri") {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut nodes = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<PathBuf>>>()?;
        nodes.retain(|node| node.to_string_lossy().starts_with("/dev/dri/card"));
        nodes.sort();
        for node in nodes {
            let card = Self(OpenOptions::new().read(true).write(true).open(node)?);
            if card.get_driver()?.name() == driver {
                return Ok(Some(card));
            }
        }
        Ok(None)
    }

    pub(crate) fn import(&self, buffer: &Buffer) -> io::Result<Handle> {
        self.prime_fd_to_buffer(buffer.as_fd())
    }
}

/// Runs a test with a driver's device, or skips it where there is none.
fn with(
    target: &Target,
    driver: &str,
    module: &str,
    test: impl FnOnce(Card) -> TestResult,
) -> TestResult {
    match Card::open(driver) {
        Ok(Some(card)) => by_importer(target, || test(card)),
        Ok(None) => skip(format!("no {module}: load it with `modprobe {module}`")),
        Err(error) if system::is_denied(Errno::from_io_error(&error)) => {
            skip(format!("cannot open the nodes in /dev/dri: {error}"))
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn with_vgem(target: &Target, test: impl FnOnce(Card) -> TestResult) -> TestResult {
    with(target, "vgem", "vgem", test)
}

fn attached(attaches: u64) -> Ops {
    Ops {
        attaches,
        ..Ops::default()
    }
}

fn attach(target: &Target) -> TestResult {
    with_vgem(target, |first| {
        let Some(second) = Card::open("vgem")? else {
            return fail("vgem is gone");
        };
        let used = target.used();
        let (buffer, pattern) = target.filled(LARGE)?;
        let held = target.used();
        let count = Count::start(target)?;
        let handle = first.import(&buffer)?;
        count.expect("after an import", attached(1))?;
        equal(
            "the handle of another import",
            first.import(&buffer)?,
            handle,
        )?;
        count.expect("after the same import again", attached(1))?;
        second.import(&buffer)?;
        count.expect("after an import by another file", attached(2))?;
        expect(&buffer.map()?, |index| pattern.word(index))?;

        // The device's reference is the last one, then that of its other file.
        drop(buffer);
        first.close_buffer(handle)?;
        target.expect_used(held)?;
        drop(second);
        target.expect_used(used)?;
        Ok(Pass)
    })
}

/// vgem refuses to map an import through itself, as all drivers do. What it
/// gives back for it can be mapped, though.
fn back(target: &Target) -> TestResult {
    with_vgem(target, |card| {
        let (buffer, pattern) = target.filled(LARGE)?;
        let inode = buffer.inode()?;
        let handle = card.import(&buffer)?;
        drop(buffer);

        let fd = card.buffer_to_prime_fd(handle, drm::CLOEXEC | drm::RDWR)?;
        let buffer = Buffer::from_fd(fd)?;
        equal("the inode of what came back", buffer.inode()?, inode)?;
        card.close_buffer(handle)?;

        let count = Count::start(target)?;
        let mut mapping = buffer.map()?;
        let mmaps = Ops {
            mmaps: 1,
            ..Ops::default()
        };
        count.expect("after mmap", mmaps)?;
        expect(&mapping, |index| pattern.word(index))?;
        fill(&mut mapping, Pattern::random()?)?;
        Ok(Pass)
    })
}

/// A buffer with the pixels of a mode.
struct Picture {
    handle: Handle,
    mode: Mode,
}

impl Picture {
    /// Bytes of a pixel.
    const PIXEL: u32 = 4;

    fn len(mode: Mode) -> u64 {
        let (width, height) = mode.size();
        u64::from(width) * u64::from(height) * u64::from(Self::PIXEL)
    }
}

impl drm::buffer::Buffer for Picture {
    fn size(&self) -> (u32, u32) {
        let (width, height) = self.mode.size();
        (width.into(), height.into())
    }

    fn format(&self) -> DrmFourcc {
        DrmFourcc::Xrgb8888
    }

    fn pitch(&self) -> u32 {
        u32::from(self.mode.size().0) * Self::PIXEL
    }

    fn handle(&self) -> Handle {
        self.handle
    }
}

/// A connector with a screen, and the smallest picture that it shows.
fn smallest_mode(card: &Card) -> Result<(connector::Handle, Mode), Failure> {
    for handle in card.resource_handles()?.connectors() {
        let info = card.get_connector(*handle, true)?;
        let smallest = info
            .modes()
            .iter()
            .min_by_key(|mode| Picture::len(**mode))
            .filter(|_| info.state() == State::Connected);
        if let Some(mode) = smallest {
            return Ok((*handle, *mode));
        }
    }
    fail("bochs has no connector with a mode")
}

fn screen(target: &Target) -> TestResult {
    with(target, "bochs-drm", "bochs", |card| {
        let (connector, mode) = smallest_mode(&card)?;
        let Some(crtc) = card.resource_handles()?.crtcs().first().copied() else {
            return fail("bochs has no CRTC");
        };
        let used = target.used();
        // What is shown stays mapped until something else is shown, so it
        // takes two to see each commit.
        let buffers = [
            target.heap.alloc(Picture::len(mode))?,
            target.heap.alloc(Picture::len(mode))?,
        ];
        let held = target.used();
        let mut count = Count::start(target)?;
        let mut shown = Vec::new();
        for buffer in &buffers {
            let handle = card.import(buffer)?;
            let picture = Picture { handle, mode };
            let framebuffer = card.add_framebuffer(&picture, 24, 32)?;
            // The framebuffer has a reference of its own.
            card.close_buffer(handle)?;
            shown.push((buffer, framebuffer));
        }
        count.expect("after the import of two buffers", attached(2))?;

        for round in 0..3 {
            for (buffer, framebuffer) in &shown {
                let pattern = Pattern::random()?;
                fill(&mut buffer.map()?, pattern)?;
                count = Count::start(target)?;
                let commit =
                    card.set_crtc(crtc, Some(*framebuffer), (0, 0), &[connector], Some(mode));
                match commit {
                    Err(error) if system::is_denied(Errno::from_io_error(&error)) => {
                        return skip("another program has the screen of bochs");
                    }
                    committed => committed?,
                }
                let vmap = Ops {
                    vmaps: 1,
                    ..Ops::default()
                };
                count.expect(&format!("after a commit of round {round}"), vmap)?;
                // The driver only reads.
                expect(&buffer.map()?, |index| pattern.word(index))?;
            }
        }

        // The screen and the framebuffers have the last references.
        let framebuffers = shown.iter().map(|(_, framebuffer)| *framebuffer);
        let framebuffers: Vec<_> = framebuffers.collect();
        drop(buffers);
        target.expect_used(held)?;
        card.set_crtc(crtc, None, (0, 0), &[], None)?;
        for framebuffer in framebuffers {
            card.destroy_framebuffer(framebuffer)?;
        }
        target.expect_used(used)?;
        Ok(Pass)
    })
}

/// A dynamic importer: it pins the buffer, and maps it for the host until the
/// last handle is closed.
fn held(target: &Target) -> TestResult {
    with(target, "virtio_gpu", "virtio-gpu", |card| {
        let used = target.used();
        let (buffer, pattern) = target.filled(LARGE)?;
        let count = Count::start(target)?;
        let handle = match card.import(&buffer) {
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => {
                return skip("virtio-gpu has no blobs here (QEMU's blob=true), so it maps nothing");
            }
            handle => handle?,
        };
        let mapped = Ops {
            attaches: 1,
            maps: 1,
            ..Ops::default()
        };
        count.expect("after an import", mapped)?;
        expect(&buffer.map()?, |index| pattern.word(index))?;
        let pattern = Pattern::random()?;
        fill(&mut buffer.map()?, pattern)?;
        expect(&buffer.map()?, |index| pattern.word(index))?;

        let held = target.used();
        drop(buffer);
        target.expect_used(held)?;
        card.close_buffer(handle)?;
        target.expect_used(used)?;
        Ok(Pass)
    })
}
