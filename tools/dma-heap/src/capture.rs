// SPDX-License-Identifier: GPL-2.0

//! A V4L2 capture device that writes its frames into dma-bufs: an importer
//! that many machines have, for tests of the way from a camera to a buffer.
//!
//! The device has a queue with numbered places. A buffer is attached to the
//! device when it is queued in a place for the first time, and stays so until
//! another takes the place or the queue is [removed](Capture::remove_queue).

use crate::buffer::Buffer;
use crate::error::Error;
use crate::sys::pages::Pages;
use crate::sys::v4l2;
use crate::sys::v4l2::PixFormat;
use crate::sys::v4l2::VideoNode;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

/// What a device says of its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameFormat {
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bytes from one line to the next.
    pub bytes_per_line: u32,
    /// Bytes that a buffer must have.
    pub size: u32,
}

/// A frame in a buffer that the device has given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The place in the queue.
    pub index: u32,
    /// Bytes that the device says it has written.
    pub len: u32,
    /// Its number since the device was started; some are left out if no buffer
    /// was there in time.
    pub sequence: u32,
}

/// An open capture device.
#[derive(Debug)]
pub struct Capture {
    node: VideoNode,
    driver: String,
    bus: String,
}

impl Capture {
    /// Opens a device, `/dev/video0` for example.
    ///
    /// # Errors
    ///
    /// [`Error::CaptureOpen`], with ENODEV if it is no device that captures
    /// frames into a queue of buffers.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fail = |errno| Error::CaptureOpen {
            path: path.to_owned(),
            errno,
        };
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let node = rustix::fs::open(path, flags, Mode::empty()).map_err(fail)?;
        let node = VideoNode::new(File::from(node)).map_err(fail)?;
        let capability = node.capability().map_err(fail)?;
        let needed = v4l2::CAP_VIDEO_CAPTURE | v4l2::CAP_STREAMING;
        if capability.device_caps & needed != needed {
            return Err(fail(Errno::NODEV));
        }
        Ok(Self {
            node,
            driver: text(&capability.driver),
            bus: text(&capability.bus_info),
        })
    }

    /// The driver's name.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// Where the device is, which tells two of one driver apart.
    pub fn bus(&self) -> &str {
        &self.bus
    }

    /// Asks for frames of a size, as YUYV, and returns what the device makes of
    /// that.
    ///
    /// # Errors
    ///
    /// [`Error::Capture`], with EINVAL if the device has no YUYV.
    pub fn set_size(&self, width: u32, height: u32) -> Result<FrameFormat, Error> {
        let action = "set the format";
        let wanted = PixFormat {
            width,
            height,
            pixelformat: v4l2::PIX_FMT_YUYV,
            ..PixFormat::default()
        };
        let got = self.node.set_format(wanted).map_err(because(action))?;
        if got.pixelformat != v4l2::PIX_FMT_YUYV {
            return Err(because(action)(Errno::INVAL));
        }
        Ok(FrameFormat {
            width: got.width,
            height: got.height,
            bytes_per_line: got.bytesperline,
            size: got.sizeimage,
        })
    }

    /// Makes a queue with at least `count` places, and returns how many it has.
    ///
    /// # Errors
    ///
    /// [`Error::Capture`].
    pub fn make_queue(&self, count: u32) -> Result<u32, Error> {
        self.node.request(count).map_err(because("make a queue"))
    }

    /// Has the device allocate up to `count` buffers of its own, for frames of the
    /// size that was set, and returns how many it got. With 0 it frees them.
    ///
    /// # Errors
    ///
    /// [`Error::Capture`], with ENOMEM if it got none.
    pub fn allocate_own(&self, count: u32) -> Result<u32, Error> {
        let got = self.node.request_own(count);
        got.map_err(because("have the device allocate buffers"))
    }

    /// Removes the queue; the device lets go of all buffers.
    ///
    /// # Errors
    ///
    /// [`Error::Capture`].
    pub fn remove_queue(&self) -> Result<(), Error> {
        let removed = self.node.request(0);
        removed.map(drop).map_err(because("remove the queue"))
    }

    /// Gives a buffer to the device, in a place of the queue.
    ///
    /// # Errors
    ///
    /// [`Error::Capture`], with what the driver or the exporter says.
    pub fn queue(&self, index: u32, buffer: &Buffer) -> Result<(), Error> {
        let fail = because("queue a buffer");
        let len = u32::try_from(buffer.len()).map_err(|_| fail(Errno::OVERFLOW))?;
        self.node.queue(index, buffer.as_fd(), len).map_err(fail)
    }

    /// Makes a queue for memory of this process's own (USERPTR), and offers pages to it, which
    /// the device is expected to refuse. The queue goes in any case.
    ///
    /// # Errors
    ///
    /// [`Error::Capture`], with what the driver says.
    pub fn offer_pages(&self, pages: &mut Pages) -> Result<(), Error> {
        let queue = self.node.request_pointers(1);
        queue.map_err(because("make a queue of pointers"))?;
        let offered = self.node.queue_pages(0, pages);
        self.remove_queue()?;
        offered.map_err(because("queue a pointer"))
    }

    /// Starts the device.
    ///
    /// # Errors
    ///
    /// [`Error::Capture`].
    pub fn start(&self) -> Result<(), Error> {
        self.node.start().map_err(because("start"))
    }

    /// Stops the device.
    ///
    /// # Errors
    ///
    /// [`Error::Capture`].
    pub fn stop(&self) -> Result<(), Error> {
        self.node.stop().map_err(because("stop"))
    }

    /// Waits for the next frame, at most as long as `patience`.
    ///
    /// # Errors
    ///
    /// [`Error::Capture`], with ETIMEDOUT if none comes in time and EIO if the
    /// device says that it has failed.
    pub fn dequeue(&self, patience: Duration) -> Result<Frame, Error> {
        let fail = because("wait for a frame");
        let timeout = patience.try_into().map_err(|_| fail(Errno::INVAL))?;
        let mut files = [PollFd::new(&self.node, PollFlags::IN)];
        if rustix::event::poll(&mut files, Some(&timeout)).map_err(fail)? == 0 {
            return Err(fail(Errno::TIMEDOUT));
        }
        let frame = self.node.dequeue().map_err(fail)?;
        if frame.error {
            return Err(fail(Errno::IO));
        }
        Ok(Frame {
            index: frame.index,
            len: frame.bytesused,
            sequence: frame.sequence,
        })
    }
}

fn because(action: &'static str) -> impl Fn(Errno) -> Error + Copy {
    move |errno| Error::Capture { action, errno }
}

/// The text before the first NUL.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_at_nul() {
        assert_eq!(text(b"vivid\0\0x"), "vivid");
        assert_eq!(text(b"full"), "full");
        assert_eq!(text(b""), "");
    }

    #[test]
    fn only_video_nodes_open() {
        let opened = Capture::open(Path::new("/dev/null"));
        assert!(opened.is_err_and(|error| error.errno() == Some(Errno::NODEV)));
    }
}
