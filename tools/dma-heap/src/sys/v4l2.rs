// SPDX-License-Identifier: GPL-2.0

//! The ioctls of V4L2 by which a capture device fills dma-bufs.
//!
//! The crates for V4L2 run bindgen on the headers of the machine that builds,
//! or of two x86 targets at most; this one is built for arm64 as well, where
//! those headers need not be. It takes five structures, and here they are.
//!
//! C header: `linux/videodev2.h`.

use super::pages::Pages;
use rustix::fs::major;
use rustix::io::Errno;
use rustix::io::Result;
use rustix::ioctl::Getter;
use rustix::ioctl::Opcode;
use rustix::ioctl::Setter;
use rustix::ioctl::Updater;
use rustix::ioctl::opcode;
use std::ffi::c_int;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;

/// The major number of all V4L2 devices.
const VIDEO_MAJOR: u32 = 81;

const BUF_TYPE_VIDEO_CAPTURE: u32 = 1;
/// `V4L2_MEMORY_MMAP`
const MEMORY_MMAP: u32 = 1;
const MEMORY_USERPTR: u32 = 2;
const MEMORY_DMABUF: u32 = 4;
pub(crate) const PIX_FMT_YUYV: u32 = u32::from_le_bytes(*b"YUYV");
pub(crate) const CAP_VIDEO_CAPTURE: u32 = 1;
pub(crate) const CAP_STREAMING: u32 = 0x0400_0000;
const BUF_FLAG_ERROR: u32 = 0x40;

const QUERYCAP: Opcode = opcode::read::<Capability>(b'V', 0);
const S_FMT: Opcode = opcode::read_write::<Format>(b'V', 5);
const REQBUFS: Opcode = opcode::read_write::<RequestBuffers>(b'V', 8);
const QBUF: Opcode = opcode::read_write::<VideoBuffer>(b'V', 15);
const DQBUF: Opcode = opcode::read_write::<VideoBuffer>(b'V', 17);
const STREAMON: Opcode = opcode::write::<c_int>(b'V', 18);
const STREAMOFF: Opcode = opcode::write::<c_int>(b'V', 19);

#[repr(C)]
pub(crate) struct Capability {
    pub(crate) driver: [u8; 16],
    card: [u8; 32],
    pub(crate) bus_info: [u8; 32],
    version: u32,
    capabilities: u32,
    pub(crate) device_caps: u32,
    reserved: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct PixFormat {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixelformat: u32,
    pub(crate) field: u32,
    pub(crate) bytesperline: u32,
    pub(crate) sizeimage: u32,
    pub(crate) others: [u32; 6],
}

/// The union of all kinds of formats, one of which holds a pointer.
#[repr(C)]
struct AnyFormat {
    alignment: [usize; 0],
    pix: PixFormat,
    rest: [u8; 200 - size_of::<PixFormat>()],
}

#[repr(C)]
struct Format {
    kind: u32,
    format: AnyFormat,
}

#[repr(C)]
#[derive(Default)]
struct RequestBuffers {
    count: u32,
    kind: u32,
    memory: u32,
    capabilities: u32,
    flags: u8,
    reserved: [u8; 3],
}

/// `struct v4l2_buffer` with a time stamp of 64-bit numbers: that of 64-bit
/// programs, and of 32-bit ones with the kernel's own notion of time.
#[repr(C)]
#[derive(Default)]
struct VideoBuffer {
    index: u32,
    kind: u32,
    bytesused: u32,
    flags: u32,
    field: u32,
    timestamp: [i64; 2],
    timecode: [u32; 4],
    sequence: u32,
    memory: u32,
    /// A union as wide as a pointer, whose first four bytes are the descriptor.
    fd: Descriptor,
    length: u32,
    reserved2: u32,
    request_fd: i32,
}

#[repr(C)]
#[derive(Default)]
struct Descriptor {
    alignment: [usize; 0],
    fd: c_int,
    rest: [u8; size_of::<usize>() - size_of::<c_int>()],
}

impl Descriptor {
    /// The other use of that union.
    fn of_address(address: usize) -> Self {
        let bytes = address.to_ne_bytes();
        let mut this = Self::default();
        let mut fd = [0; size_of::<c_int>()];
        for (to, from) in fd.iter_mut().chain(&mut this.rest).zip(bytes) {
            *to = from;
        }
        this.fd = c_int::from_ne_bytes(fd);
        this
    }
}

/// A frame that was taken out of a queue.
pub(crate) struct Dequeued {
    pub(crate) index: u32,
    pub(crate) bytesused: u32,
    pub(crate) sequence: u32,
    /// The driver says that the content is wrong.
    pub(crate) error: bool,
}

/// An open V4L2 device.
///
/// # Invariants
///
/// The file is a character device of video4linux.
#[derive(Debug)]
pub(crate) struct VideoNode(File);

impl VideoNode {
    /// Takes an open node; ENODEV if it is of another kind.
    pub(crate) fn new(node: File) -> Result<Self> {
        let stat = rustix::fs::fstat(&node)?;
        let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        if !kind.is_char_device() || major(stat.st_rdev) != VIDEO_MAJOR {
            return Err(Errno::NODEV);
        }
        // INVARIANT: Just seen.
        Ok(Self(node))
    }

    pub(crate) fn capability(&self) -> Result<Capability> {
        // SAFETY: The request number encodes the size and direction of
        // `Capability`, of which any bytes are a value.
        let request = unsafe { Getter::<QUERYCAP, Capability>::new() };
        // SAFETY: By the invariant, V4L2 fills the structure and no more.
        unsafe { rustix::ioctl::ioctl(&self.0, request) }
    }

    /// Sets the format of what is captured, and returns what the driver makes
    /// of it.
    pub(crate) fn set_format(&self, pix: PixFormat) -> Result<PixFormat> {
        let mut format = Format {
            kind: BUF_TYPE_VIDEO_CAPTURE,
            format: AnyFormat {
                alignment: [],
                pix,
                rest: [0; 200 - size_of::<PixFormat>()],
            },
        };
        // SAFETY: The request number encodes the size and direction of
        // `Format`.
        let request = unsafe { Updater::<S_FMT, Format>::new(&mut format) };
        // SAFETY: By the invariant, V4L2 reads and fills the structure. A
        // format of this kind holds no pointer.
        unsafe { rustix::ioctl::ioctl(&self.0, request) }?;
        Ok(format.format.pix)
    }

    /// Makes a queue of places for dma-bufs, or with 0 removes it. Returns how
    /// many there are.
    pub(crate) fn request(&self, count: u32) -> Result<u32> {
        self.request_of(MEMORY_DMABUF, count)
    }

    /// The same for buffers that the device allocates.
    pub(crate) fn request_own(&self, count: u32) -> Result<u32> {
        self.request_of(MEMORY_MMAP, count)
    }

    fn request_of(&self, memory: u32, count: u32) -> Result<u32> {
        let mut buffers = RequestBuffers {
            count,
            kind: BUF_TYPE_VIDEO_CAPTURE,
            memory,
            ..RequestBuffers::default()
        };
        // SAFETY: The request number encodes the size and direction of
        // `RequestBuffers`.
        let request = unsafe { Updater::<REQBUFS, RequestBuffers>::new(&mut buffers) };
        // SAFETY: By the invariant, V4L2 reads and fills the structure.
        unsafe { rustix::ioctl::ioctl(&self.0, request) }?;
        Ok(buffers.count)
    }

    /// Gives a dma-buf of `length` bytes to the device, in place `index`.
    pub(crate) fn queue(&self, index: u32, dmabuf: BorrowedFd<'_>, length: u32) -> Result<()> {
        let mut buffer = VideoBuffer {
            index,
            kind: BUF_TYPE_VIDEO_CAPTURE,
            memory: MEMORY_DMABUF,
            fd: Descriptor {
                fd: dmabuf.as_raw_fd(),
                ..Descriptor::default()
            },
            length,
            ..VideoBuffer::default()
        };
        // SAFETY: The request number encodes the size and direction of
        // `VideoBuffer`.
        let request = unsafe { Updater::<QBUF, VideoBuffer>::new(&mut buffer) };
        // SAFETY: By the invariant, V4L2 reads and fills the structure. The
        // device writes to a dma-buf, whose memory has no references into it.
        unsafe { rustix::ioctl::ioctl(&self.0, request) }
    }

    /// Asks for a queue of places for memory of this process's own.
    pub(crate) fn request_pointers(&self, count: u32) -> Result<u32> {
        self.request_of(MEMORY_USERPTR, count)
    }

    /// Gives pages of this process to the device, in place `index`.
    ///
    /// The device must not be started while it has them: this is for one that refuses them.
    pub(crate) fn queue_pages(&self, index: u32, pages: &mut Pages) -> Result<()> {
        let (start, len) = pages.writable()?;
        let mut buffer = VideoBuffer {
            index,
            kind: BUF_TYPE_VIDEO_CAPTURE,
            memory: MEMORY_USERPTR,
            fd: Descriptor::of_address(start.addr()),
            length: u32::try_from(len).map_err(|_| Errno::OVERFLOW)?,
            ..VideoBuffer::default()
        };
        // SAFETY: The request number encodes the size and direction of
        // `VideoBuffer`.
        let request = unsafe { Updater::<QBUF, VideoBuffer>::new(&mut buffer) };
        // SAFETY: By the invariant, V4L2 reads and fills the structure. It holds the pages, which
        // are ours and writable, but the device is not started.
        unsafe { rustix::ioctl::ioctl(&self.0, request) }
    }

    /// Takes the next frame; EAGAIN if there is none yet and the node does not
    /// block.
    pub(crate) fn dequeue(&self) -> Result<Dequeued> {
        let mut buffer = VideoBuffer {
            kind: BUF_TYPE_VIDEO_CAPTURE,
            memory: MEMORY_DMABUF,
            ..VideoBuffer::default()
        };
        // SAFETY: The request number encodes the size and direction of
        // `VideoBuffer`.
        let request = unsafe { Updater::<DQBUF, VideoBuffer>::new(&mut buffer) };
        // SAFETY: By the invariant, V4L2 reads and fills the structure.
        unsafe { rustix::ioctl::ioctl(&self.0, request) }?;
        Ok(Dequeued {
            index: buffer.index,
            bytesused: buffer.bytesused,
            sequence: buffer.sequence,
            error: buffer.flags & BUF_FLAG_ERROR != 0,
        })
    }

    /// Starts the device.
    pub(crate) fn start(&self) -> Result<()> {
        self.stream::<STREAMON>()
    }

    /// Stops the device, which gives back everything queued.
    pub(crate) fn stop(&self) -> Result<()> {
        self.stream::<STREAMOFF>()
    }

    fn stream<const REQUEST: Opcode>(&self) -> Result<()> {
        // SAFETY: Either request takes the address of an int, which is only
        // read.
        let request = unsafe { Setter::<REQUEST, u32>::new(BUF_TYPE_VIDEO_CAPTURE) };
        // SAFETY: By the invariant, V4L2 gets it.
        unsafe { rustix::ioctl::ioctl(&self.0, request) }
    }
}

impl AsFd for VideoNode {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The expected values are those of the C header on x86-64 and arm64.
    #[cfg(target_pointer_width = "64")]
    #[test]
    fn numbers() {
        assert_eq!(QUERYCAP, 0x8068_5600);
        assert_eq!(S_FMT, 0xc0d0_5605);
        assert_eq!(REQBUFS, 0xc014_5608);
        assert_eq!(QBUF, 0xc058_560f);
        assert_eq!(DQBUF, 0xc058_5611);
        assert_eq!(STREAMON, 0x4004_5612);
        assert_eq!(STREAMOFF, 0x4004_5613);
    }

    // ... and of the kernel's own view of a 32-bit x86 program.
    #[cfg(target_arch = "x86")]
    #[test]
    fn numbers() {
        assert_eq!(S_FMT, 0xc0cc_5605);
        assert_eq!(QBUF, 0xc04c_560f);
    }

    #[test]
    fn layout() {
        use std::mem::offset_of;
        let long = size_of::<usize>();
        assert_eq!(offset_of!(Format, format), long);
        let descriptor = offset_of!(VideoBuffer, fd);
        assert_eq!(descriptor, offset_of!(VideoBuffer, memory) + 4);
        assert_eq!(offset_of!(VideoBuffer, length), descriptor + long);
    }
}
