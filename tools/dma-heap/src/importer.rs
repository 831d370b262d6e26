// SPDX-License-Identifier: GPL-2.0

//! The other side of a buffer, for tests: a device that attaches, maps, reads
//! and writes, played by the kernel module dma_buf_test_importer.
//!
//! Each [`Importer`] is a device of its own: one in software, or QEMU's `edu`
//! device, which really does DMA. What it makes (an [`Attachment`],
//! a [`DmaMapping`], a [`Vmap`]) is a guard: dropping it undoes it. They may be
//! dropped in any order: the kernel detaches after the last mapping is gone.
//! What is [left](Attachment::leave) goes with the importer.
//!
//! The CPU sees what the device wrote, and the device what the CPU wrote, after
//! a bracket only, as with every device.

use crate::error::Error;
use crate::sys::importer::Command;
use crate::sys::importer::ImporterFile;
use crate::sys::importer::Way;
use crate::sys::importer::Words;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

/// What is asked for, in the words of an error; those that need advice.
mod action {
    pub(super) const MAKE: &str = "make a device";
    pub(super) const CLAIM: &str = "claim an edu device";
    pub(super) const LOAD: &str = "let a device read";
    pub(super) const STORE: &str = "let a device write";
    pub(super) const ATTACH: &str = "attach a device";
    pub(super) const VMAP: &str = "vmap a buffer";
    pub(super) const TIME_VMAPS: &str = "time vmaps of a buffer";
    pub(super) const TIME_MAPS: &str = "time maps of a buffer";
    pub(super) const MAP: &str = "map a buffer for a device";
    pub(super) const READ: &str = "read a buffer";
    pub(super) const HOLD: &str = "hold a page of a buffer";
    pub(super) const MASK: &str = "set a device's DMA mask";
    pub(super) const KEEP: &str = "have attachments stay";
    pub(super) const WRITE: &str = "write a buffer";
}

/// What to do when `action` was refused with `errno`.
pub(crate) fn advice(action: &str, errno: Errno) -> &'static str {
    use action::*;
    match (action, errno) {
        (CLAIM, Errno::NODEV) => {
            "the machine has no such device: start QEMU with `-device edu` once for each"
        }
        (CLAIM, Errno::BUSY) => "another program has it, or this one a device already",
        (MAKE, Errno::BUSY) => "this open file has a device already: open the importer again",
        (ATTACH | TIME_MAPS, Errno::BUSY) => {
            "the device cannot reach the memory: give it more address bits, allocate from a \
             contiguous area below its mask, or boot with swiotlb=force"
        }
        (MAP, Errno::BUSY) => {
            "the attachment is mapped in another direction: unmap that first, or attach again"
        }
        (MAP, Errno::INVAL) => "a device without DMA mask maps nothing: give it one",
        (TIME_MAPS, Errno::INVAL) => {
            "at most 1000 cycles on 16 attachments are timed at once, of a device with a DMA mask"
        }
        (MAP | TIME_MAPS, Errno::IO | Errno::NOMEM) => {
            "addresses or bounce buffers for the device are used up: unmap others, or boot with a \
             larger pool (swiotlb=)"
        }
        (READ | WRITE, Errno::OPNOTSUPP) => {
            "an edu device moves bytes by itself: let it load and store instead"
        }
        (LOAD | STORE, Errno::OPNOTSUPP) => {
            "the device is one in software: read and write through it, or open the importer with \
             an edu device"
        }
        (LOAD | STORE, Errno::PERM) => {
            "DMA by address needs an IOMMU before the device, else it could reach anything"
        }
        (READ | WRITE, Errno::INVAL) => "the bytes must be inside the buffer",
        (LOAD | STORE, Errno::INVAL) => {
            "the bytes must be inside the buffer, and inside the 4096 bytes of the device"
        }
        (VMAP, Errno::NOMEM) => "kernel addresses or memory are used up: vunmap others",
        (TIME_VMAPS, Errno::INVAL) => "at most 1000 cycles are timed at once",
        (_, Errno::ACCESS | Errno::PERM) => "run as root",
        _ => "the kernel log may tell why (`dmesg`)",
    }
}

/// The node of the test importer.
pub const NODE: &str = "/dev/dma_buf_test_importer";

/// Which way data goes, with the values of the kernel's `enum
/// dma_data_direction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device reads and writes.
    Both = 0,
    /// The device reads.
    ToDevice = 1,
    /// The device writes.
    FromDevice = 2,
}

impl Direction {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Both, Self::ToDevice, Self::FromDevice];

    fn word(self) -> u64 {
        self as u64
    }
}

/// What the driver of a device would say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceSettings {
    /// The highest address that the device can put out; 0 for a device that
    /// has no DMA at all.
    pub mask: u64,
    /// Bytes of the longest range that it takes; 0 if the driver says nothing.
    pub max_segment_size: u32,
    /// The mask of the addresses between two boundaries that no range may
    /// cross: a power of two, less one; 0 if the driver says nothing.
    pub segment_boundary_mask: u64,
}

impl Default for DeviceSettings {
    /// A device that reaches everything and takes ranges of any length, as its
    /// driver has said.
    fn default() -> Self {
        Self {
            mask: u64::MAX,
            max_segment_size: u32::MAX,
            segment_boundary_mask: 0,
        }
    }
}

/// Addresses that a device may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaRange {
    /// The first, as the device puts it out.
    pub address: u64,
    /// Bytes.
    pub len: u64,
}

/// How long maps and unmaps took; see [`Importer::time_maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapTimes {
    /// The first of each attachment, all together.
    pub first: Duration,
    /// All others.
    pub repeated: Duration,
}

/// How long it took, from the beginning of a transfer on; see
/// [`Attachment::store_and_release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreTimes {
    /// To the end of the detaching.
    pub detached: Duration,
    /// To the end of the transfer, if that came later.
    pub stored: Option<Duration>,
}

/// An open test importer: at most one device and what it holds.
#[derive(Debug)]
pub struct Importer(ImporterFile);

impl Importer {
    /// Opens the test importer, without a device yet.
    ///
    /// # Errors
    ///
    /// [`Error::ImporterOpen`] if the module is not loaded or the caller is
    /// not root.
    pub fn open() -> Result<Self, Error> {
        let fail = |errno| Error::ImporterOpen { errno };
        let node =
            rustix::fs::open(NODE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
        let stat = rustix::fs::fstat(&node).map_err(fail)?;
        if !FileType::from_raw_mode(stat.st_mode).is_char_device() {
            return Err(fail(Errno::NODEV));
        }
        Ok(Self(ImporterFile::new(File::from(node))))
    }

    /// Opens the test importer with a device.
    ///
    /// # Errors
    ///
    /// As [`Importer::open`] and [`Importer::set_device`].
    pub fn with_device(settings: DeviceSettings) -> Result<Self, Error> {
        let importer = Self::open()?;
        importer.set_device(settings)?;
        Ok(importer)
    }

    fn run(&self, action: &'static str, command: Command, words: Words) -> Result<Words, Error> {
        self.0
            .run(command, words)
            .map_err(|errno| Error::Importer { action, errno })
    }

    /// Has the device in software put out other addresses from now on, as a
    /// driver does that sets a DMA mask after it has attached a buffer.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with EINVAL for a device that does no DMA.
    pub fn set_mask(&self, mask: u64) -> Result<(), Error> {
        self.run(action::MASK, Command::Mask, [mask, 0, 0, 0, 0, 0])?;
        Ok(())
    }

    /// Makes the device.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with EBUSY if there is one already.
    pub fn set_device(&self, settings: DeviceSettings) -> Result<(), Error> {
        let words = [
            settings.mask,
            settings.max_segment_size.into(),
            settings.segment_boundary_mask,
            0,
            0,
            0,
        ];
        self.run(action::MAKE, Command::Device, words).map(drop)
    }

    /// Opens the test importer with the `index`th of the machine's edu devices.
    ///
    /// # Errors
    ///
    /// As [`Importer::open`]; [`Error::Importer`] with ENODEV if there are not
    /// so many, and EBUSY while another file has it.
    pub fn with_edu(index: u64) -> Result<Self, Error> {
        let importer = Self::open()?;
        let words = [index, 0, 0, 0, 0, 0];
        importer.run(action::CLAIM, Command::Edu, words).map(drop)?;
        Ok(importer)
    }

    /// Has an edu device read memory by DMA address, into its buffer at
    /// `place`.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with EPERM if no IOMMU keeps it from what is not
    /// mapped for it.
    pub fn load_at(&self, address: u64, place: u64, len: u64) -> Result<(), Error> {
        let words = [address, place, len, 0, 0, 0];
        self.run(action::LOAD, Command::LoadAt, words).map(drop)
    }

    /// Has an edu device write memory by DMA address, out of its buffer at
    /// `place`.
    ///
    /// # Errors
    ///
    /// As [`Importer::load_at`].
    pub fn store_at(&self, address: u64, place: u64, len: u64) -> Result<(), Error> {
        let words = [address, place, len, 0, 0, 0];
        self.run(action::STORE, Command::StoreAt, words).map(drop)
    }

    /// From now on, leaves attachments as they are when the driver of an edu
    /// device is unbound, as some drivers do. Mappings end in any case.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`].
    pub fn keep_attachments(&self) -> Result<(), Error> {
        self.run(action::KEEP, Command::KeepAttachments, [0; 6])
            .map(drop)
    }

    /// Attaches the device to a dma-buf.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with what the exporter says: EBUSY if the device
    /// cannot reach the memory.
    pub fn attach(&self, dmabuf: &impl AsFd) -> Result<Attachment<'_>, Error> {
        let words = self.run(action::ATTACH, Command::Attach, fd_words(dmabuf, 0)?)?;
        Ok(Attachment(Object::new(self, words)))
    }

    /// Maps a dma-buf into the kernel's addresses.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`].
    pub fn vmap(&self, dmabuf: &impl AsFd) -> Result<Vmap<'_>, Error> {
        let words = self.run(action::VMAP, Command::Vmap, fd_words(dmabuf, 0)?)?;
        Ok(Vmap(Object::new(self, words)))
    }

    /// Maps a dma-buf into the kernel's addresses and unmaps it again, `cycles`
    /// times, and returns how long the kernel took for that. Needs no device.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with EINVAL for more than 1000 cycles.
    pub fn time_vmaps(&self, dmabuf: &impl AsFd, cycles: u64) -> Result<Duration, Error> {
        let words = fd_words(dmabuf, cycles)?;
        let [nanos, ..] = self.run(action::TIME_VMAPS, Command::TimeVmaps, words)?;
        Ok(Duration::from_nanos(nanos))
    }

    /// Attaches the device `attachments` times, maps the dma-buf and unmaps it
    /// on each in turn, once and then `cycles` times, and returns how long the
    /// kernel took for the maps and unmaps.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with what the exporter says, and EINVAL for more
    /// than 16 attachments or 1000 cycles.
    pub fn time_maps(
        &self,
        dmabuf: &impl AsFd,
        direction: Direction,
        attachments: u64,
        cycles: u64,
    ) -> Result<MapTimes, Error> {
        let [fd, ..] = fd_words(dmabuf, 0)?;
        let words = [fd, direction.word(), attachments, cycles, 0, 0];
        let [first, repeated, ..] = self.run(action::TIME_MAPS, Command::TimeMaps, words)?;
        Ok(MapTimes {
            first: Duration::from_nanos(first),
            repeated: Duration::from_nanos(repeated),
        })
    }

    /// Starts an access of the kernel's CPU side. Needs no device.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`].
    pub fn begin_cpu_access(&self, dmabuf: &impl AsFd, direction: Direction) -> Result<(), Error> {
        let words = fd_words(dmabuf, direction.word())?;
        self.run("begin CPU access", Command::BeginCpuAccess, words)
            .map(drop)
    }

    /// Ends an access of the kernel's CPU side. Needs no device.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`].
    pub fn end_cpu_access(&self, dmabuf: &impl AsFd, direction: Direction) -> Result<(), Error> {
        let words = fd_words(dmabuf, direction.word())?;
        self.run("end CPU access", Command::EndCpuAccess, words)
            .map(drop)
    }
}

/// The words of a command that takes a dma-buf.
fn fd_words(dmabuf: &impl AsFd, second: u64) -> Result<Words, Error> {
    let fd = u64::try_from(dmabuf.as_fd().as_raw_fd())
        .map_err(|_| Error::Examine { errno: Errno::BADF })?;
    Ok([fd, second, 0, 0, 0, 0])
}

/// Something that an importer holds, by number; released on drop.
#[derive(Debug)]
struct Object<'i> {
    importer: &'i Importer,
    id: u64,
    held: bool,
}

impl<'i> Object<'i> {
    fn new(importer: &'i Importer, [id, ..]: Words) -> Self {
        Self {
            importer,
            id,
            held: true,
        }
    }

    /// Returns how long the kernel took for it.
    fn release(&mut self) -> Result<Duration, Error> {
        if !std::mem::take(&mut self.held) {
            return Ok(Duration::ZERO);
        }
        let words = [self.id, 0, 0, 0, 0, 0];
        let [nanos, ..] = self
            .importer
            .run("release an object", Command::Release, words)?;
        Ok(Duration::from_nanos(nanos))
    }

    fn leave(mut self) {
        self.held = false;
    }

    fn read(&self, way: Way, offset: u64, to: &mut [u8]) -> Result<(), Error> {
        self.importer
            .0
            .read(way, self.id, offset, to)
            .map_err(|errno| Error::Importer {
                action: action::READ,
                errno,
            })
    }

    fn write(&self, way: Way, offset: u64, from: &[u8]) -> Result<(), Error> {
        self.importer
            .0
            .write(way, self.id, offset, from)
            .map_err(|errno| Error::Importer {
                action: action::WRITE,
                errno,
            })
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        // The number is one that the importer gave out and still has, so the
        // kernel has nothing to refuse.
        let released = self.release();
        debug_assert!(released.is_ok());
    }
}

/// The device, attached to a buffer.
#[derive(Debug)]
pub struct Attachment<'i>(Object<'i>);

impl<'i> Attachment<'i> {
    /// Maps the buffer for the device.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with what the exporter says.
    pub fn map(&self, direction: Direction) -> Result<DmaMapping<'i>, Error> {
        let words = [self.0.id, direction.word(), 0, 0, 0, 0];
        let words = self.0.importer.run(action::MAP, Command::Map, words)?;
        let [_, ranges, nanos, ..] = words;
        Ok(DmaMapping {
            object: Object::new(self.0.importer, words),
            ranges,
            time: Duration::from_nanos(nanos),
        })
    }

    /// Tries to map the buffer for the device, and ends a mapping at once.
    /// Returns why it failed, if it did, and how long the kernel took for the
    /// map, without the system call around it.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], if nothing was tried.
    pub fn try_map(&self, direction: Direction) -> Result<(Option<Errno>, Duration), Error> {
        let words = [self.0.id, direction.word(), 0, 0, 0, 0];
        let [errno, nanos, ..] = self.0.importer.run(action::MAP, Command::TryMap, words)?;
        let errno = i32::try_from(errno)
            .ok()
            .filter(|&errno| errno != 0)
            .map(Errno::from_raw_os_error);
        Ok((errno, Duration::from_nanos(nanos)))
    }

    /// Maps the buffer for the device and into kernel addresses, and ends both,
    /// while the importer itself holds the buffer's lock, as some drivers do.
    /// Returns how many ranges there were, and the buffer's first 64-bit word.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with what the exporter says.
    pub fn map_locked(&self, direction: Direction) -> Result<(u64, u64), Error> {
        let words = [self.0.id, direction.word(), 0, 0, 0, 0];
        let [ranges, word, ..] = self.0.importer.run(action::MAP, Command::Locked, words)?;
        Ok((ranges, word))
    }

    /// Has an edu device write memory by DMA address as [`Importer::store_at`]
    /// does, and detaches it when `time` has passed since the transfer began.
    /// The bytes move about 100 ms after that, all at once.
    ///
    /// # Errors
    ///
    /// As [`Importer::store_at`].
    pub fn store_and_release(
        mut self,
        address: u64,
        place: u64,
        len: u64,
        time: Duration,
    ) -> Result<StoreTimes, Error> {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let words = [self.0.id, address, place, len, nanos, 0];
        let result = self
            .0
            .importer
            .run(action::STORE, Command::StoreAndDetach, words);
        // What was refused before the transfer began is still attached.
        self.0.held = result.is_err();
        let [detached, stored, ..] = result?;
        Ok(StoreTimes {
            detached: Duration::from_nanos(detached),
            stored: (stored > 0).then(|| Duration::from_nanos(stored)),
        })
    }

    /// Detaches the device, as dropping does. The kernel does it once no
    /// mapping is left.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`].
    pub fn release(mut self) -> Result<(), Error> {
        self.0.release().map(drop)
    }

    /// Leaves it to the importer, until that is closed.
    pub fn leave(self) {
        self.0.leave();
    }
}

/// A buffer, mapped for the device.
#[derive(Debug)]
pub struct DmaMapping<'i> {
    object: Object<'i>,
    ranges: u64,
    time: Duration,
}

impl<'i> DmaMapping<'i> {
    /// How many ranges the device may use.
    pub fn range_count(&self) -> u64 {
        self.ranges
    }

    /// How long the kernel took for the map, without the system call around it.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// The ranges that the device may use, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`].
    pub fn ranges(&self) -> Result<Vec<DmaRange>, Error> {
        (0..self.ranges)
            .map(|index| {
                let words = [self.object.id, index, 0, 0, 0, 0];
                let [address, len, ..] =
                    self.object
                        .importer
                        .run("read a DMA range", Command::Range, words)?;
                Ok(DmaRange { address, len })
            })
            .collect()
    }

    /// Lets the device read, from byte `offset` of the buffer on.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with EINVAL for bytes outside of the buffer.
    pub fn read(&self, offset: u64, to: &mut [u8]) -> Result<(), Error> {
        self.object.read(Way::Dma, offset, to)
    }

    /// Lets the device write, from byte `offset` of the buffer on.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with EINVAL for bytes outside of the buffer.
    pub fn write(&self, offset: u64, from: &[u8]) -> Result<(), Error> {
        self.object.write(Way::Dma, offset, from)
    }

    /// Has an edu device read `len` bytes of the buffer from byte `offset` on,
    /// into its own at `place`.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with EINVAL for bytes outside of either buffer, and
    /// EOPNOTSUPP for a device in software.
    pub fn load(&self, offset: u64, place: u64, len: u64) -> Result<(), Error> {
        let words = [self.object.id, offset, place, len, 0, 0];
        self.object
            .importer
            .run(action::LOAD, Command::Load, words)
            .map(drop)
    }

    /// Has an edu device write `len` bytes of the buffer from byte `offset` on,
    /// out of its own at `place`.
    ///
    /// # Errors
    ///
    /// As [`DmaMapping::load`].
    pub fn store(&self, offset: u64, place: u64, len: u64) -> Result<(), Error> {
        let words = [self.object.id, offset, place, len, 0, 0];
        self.object
            .importer
            .run(action::STORE, Command::Store, words)
            .map(drop)
    }

    /// Takes a reference to the page at byte `offset`, as a driver does that goes
    /// on using it when the buffer has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with EINVAL for a byte outside of the buffer, and
    /// EOPNOTSUPP for an edu device.
    pub fn hold_page(&self, offset: u64) -> Result<HeldPage<'i>, Error> {
        let importer = self.object.importer;
        let words = [self.object.id, offset, 0, 0, 0, 0];
        let words = importer.run(action::HOLD, Command::HoldPage, words)?;
        Ok(HeldPage(Object::new(importer, words)))
    }

    /// Unmaps the buffer, as dropping does.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`].
    pub fn release(self) -> Result<(), Error> {
        self.release_timed().map(drop)
    }

    /// The same, and returns how long the kernel took for the unmap, without the
    /// system call around it.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`].
    pub fn release_timed(mut self) -> Result<Duration, Error> {
        self.object.release()
    }

    /// Leaves it to the importer, until that is closed.
    pub fn leave(self) {
        self.object.leave();
    }
}

/// A page to which the importer has a reference.
#[derive(Debug)]
pub struct HeldPage<'i>(Object<'i>);

impl HeldPage<'_> {
    /// Gives the reference back, as dropping does.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`].
    pub fn release(mut self) -> Result<(), Error> {
        self.0.release().map(drop)
    }
}

/// A buffer in the kernel's addresses.
#[derive(Debug)]
pub struct Vmap<'i>(Object<'i>);

impl Vmap<'_> {
    /// Reads, from byte `offset` of the buffer on.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with EINVAL for bytes outside of the buffer.
    pub fn read(&self, offset: u64, to: &mut [u8]) -> Result<(), Error> {
        self.0.read(Way::Vmap, offset, to)
    }

    /// Sums up the words in `len` bytes, from byte `offset` of the buffer on, in
    /// a bracket of CPU access as a driver does that looks at a frame. Returns
    /// the sum, and how long the kernel took for all that.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with EINVAL for what is not in the buffer or not
    /// whole words of 64 bits.
    pub fn cpu_sum(&self, offset: u64, len: u64) -> Result<(u64, Duration), Error> {
        let words = [self.0.id, offset, len, 0, 0, 0];
        let [sum, nanos, ..] = self.0.importer.run(action::READ, Command::CpuSum, words)?;
        Ok((sum, Duration::from_nanos(nanos)))
    }

    /// Writes, from byte `offset` of the buffer on.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`], with EINVAL for bytes outside of the buffer.
    pub fn write(&self, offset: u64, from: &[u8]) -> Result<(), Error> {
        self.0.write(Way::Vmap, offset, from)
    }

    /// Ends the vmap, as dropping does.
    ///
    /// # Errors
    ///
    /// [`Error::Importer`].
    pub fn release(mut self) -> Result<(), Error> {
        self.0.release().map(drop)
    }

    /// Leaves it to the importer, until that is closed.
    pub fn leave(self) {
        self.0.leave();
    }
}
