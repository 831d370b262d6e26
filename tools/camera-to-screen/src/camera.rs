// SPDX-License-Identifier: GPL-2.0

//! The camera: a V4L2 capture device that writes into dma-bufs of somebody else's.
//!
//! The order of the calls is that of every V4L2 program: find out what the device
//! can do, set a format, make a queue with numbered places, put a buffer in each
//! (`VIDIOC_QBUF`), start, and from then on take buffers out (`VIDIOC_DQBUF`) and
//! put them back in. What differs from most programs is `V4L2_MEMORY_DMABUF`: the
//! queue has no memory of its own, and each place is filled with the descriptor of
//! a dma-buf.

use crate::sys;
use anyhow::Context as _;
use anyhow::bail;
use dma_heap::Buffer;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;
use v4l2r::Format;
use v4l2r::PixelFormat;
use v4l2r::PlaneLayout;
use v4l2r::QueueType;
use v4l2r::bindings::v4l2_fract;
use v4l2r::bindings::v4l2_frmivalenum;
use v4l2r::bindings::v4l2_frmsizeenum;
use v4l2r::bindings::v4l2_queryctrl;
use v4l2r::ioctl;
use v4l2r::ioctl::Capabilities;
use v4l2r::ioctl::Capability;
use v4l2r::ioctl::CtrlId;
use v4l2r::ioctl::DqBufIoctlError;
use v4l2r::ioctl::FormatIterator;
use v4l2r::ioctl::FrmIvalTypes;
use v4l2r::ioctl::FrmSizeTypes;
use v4l2r::ioctl::GParmError;
use v4l2r::ioctl::IoctlConvertError;
use v4l2r::ioctl::MemoryConsistency;
use v4l2r::ioctl::QueryCtrlFlags;
use v4l2r::ioctl::V4l2Buffer;
use v4l2r::ioctl::V4l2PlanesWithBackingMut;
use v4l2r::memory::MemoryType;
use v4l2r::nix::errno::Errno;

/// An open camera.
pub(crate) struct Camera {
    node: File,
    queue: QueueType,
    pub(crate) name: String,
}

/// What the camera makes of a wish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameFormat {
    pub(crate) format: PixelFormat,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Bytes from one line to the next. The driver's word, never computed here:
    /// many devices pad lines.
    pub(crate) pitch: u32,
    /// Bytes that a buffer must have: also the driver's word.
    pub(crate) size: u32,
}

/// A frame in a buffer that the camera has given back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// The place in the queue, and so the buffer.
    pub(crate) index: usize,
    /// The camera's count of frames. It jumps when no buffer was there in time.
    pub(crate) sequence: u32,
    /// When the frame was there, by CLOCK_MONOTONIC.
    pub(crate) time: Duration,
    /// The camera says that the content is wrong.
    pub(crate) broken: bool,
}

impl Camera {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("cannot use the camera {}", path.display());
        // Without O_NONBLOCK, VIDIOC_DQBUF would wait, and the screen with it.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let node = File::from(rustix::fs::open(path, flags, Mode::empty()).with_context(what)?);
        let capability: Capability = ioctl::querycap(&node).with_context(what)?;
        let can = capability.device_caps();
        // Two versions of one interface: with the newer a frame may be spread over
        // several buffers, one a plane. The crate hides the difference.
        let queue = if can.contains(Capabilities::VIDEO_CAPTURE) {
            QueueType::VideoCapture
        } else if can.contains(Capabilities::VIDEO_CAPTURE_MPLANE) {
            QueueType::VideoCaptureMplane
        } else {
            bail!(
                "{} captures no video: try another /dev/video*",
                path.display()
            );
        };
        if !can.contains(Capabilities::STREAMING) {
            bail!("{} has no queue of buffers", path.display());
        }
        Ok(Self {
            node,
            queue,
            name: format!("{} ({})", capability.card, capability.driver),
        })
    }

    /// The pixel formats that the camera has, those first that it has as they are.
    pub(crate) fn formats(&self) -> Vec<PixelFormat> {
        FormatIterator::new(&self.node, self.queue)
            .map(|description| description.pixelformat)
            .collect()
    }

    /// The sizes that the camera has in a format. Empty if they have no list, but
    /// bounds.
    pub(crate) fn sizes(&self, format: PixelFormat) -> Vec<(u32, u32)> {
        let mut sizes = Vec::new();
        for index in 0.. {
            let Ok(entry) = ioctl::enum_frame_sizes::<v4l2_frmsizeenum>(&self.node, index, format)
            else {
                break;
            };
            match entry.size() {
                Some(FrmSizeTypes::Discrete(size)) => sizes.push((size.width, size.height)),
                _ => break,
            }
        }
        sizes
    }

    /// The most frames in a second that the camera has in a size, if it says so.
    pub(crate) fn highest_rate(&self, format: PixelFormat, size: (u32, u32)) -> Option<f64> {
        let mut highest: Option<f64> = None;
        for index in 0.. {
            let Ok(entry) = ioctl::enum_frame_intervals::<v4l2_frmivalenum>(
                &self.node, index, format, size.0, size.1,
            ) else {
                break;
            };
            let interval = match entry.intervals()? {
                FrmIvalTypes::Discrete(interval) => *interval,
                FrmIvalTypes::StepWise(steps) => steps.min,
            };
            let rate = per_second(interval)?;
            highest = Some(highest.map_or(rate, |other| other.max(rate)));
        }
        highest
    }

    /// Sets a control by the name that `v4l2-ctl --list-ctrls` shows.
    pub(crate) fn set_control(&self, name: &str, value: i32) -> anyhow::Result<()> {
        let mut id = 0;
        // With NEXT, the kernel answers with the first control above the given one.
        while let Ok(control) =
            ioctl::queryctrl::<v4l2_queryctrl>(&self.node, CtrlId::new(id)?, QueryCtrlFlags::NEXT)
        {
            id = control.id;
            if control_name(&control.name) == name {
                ioctl::s_ctrl(&self.node, id, value)
                    .with_context(|| format!("the camera does not take {name}={value}"))?;
                return Ok(());
            }
        }
        bail!("the camera has no control {name}: `v4l2-ctl --list-ctrls` shows what it has")
    }

    /// What the camera would make of a wish. Nothing changes.
    pub(crate) fn try_format(
        &self,
        format: PixelFormat,
        size: (u32, u32),
    ) -> anyhow::Result<FrameFormat> {
        let got: Format = ioctl::try_fmt(&self.node, (self.queue, &wish(format, size)))
            .context("the camera does not know the format")?;
        one_plane(&got)
    }

    /// Sets a format, and returns what the camera makes of it.
    pub(crate) fn set_format(
        &self,
        format: PixelFormat,
        size: (u32, u32),
    ) -> anyhow::Result<FrameFormat> {
        let mut node = self.node.as_raw_fd();
        let got: Format = ioctl::s_fmt(&mut node, (self.queue, &wish(format, size)))
            .context("the camera does not take the format")?;
        one_plane(&got)
    }

    /// Asks for so many frames a second, and returns how many there will be. None if
    /// that is not the video device's to say, but its sensor's.
    pub(crate) fn set_rate(&self, rate: u32) -> anyhow::Result<Option<f64>> {
        let wish = v4l2_fract {
            numerator: 1,
            denominator: rate,
        };
        let parameters = sys::capture_parameters(self.queue, wish);
        match ioctl::s_parm(&self.node, parameters) {
            Ok(sys::Interval(got)) => Ok(per_second(got)),
            Err(GParmError::IoctlError(Errno::ENOTTY)) => Ok(None),
            Err(error) => Err(error).context("the camera does not take a rate"),
        }
    }

    /// Makes a queue of places for dma-bufs, and returns how many it has: drivers
    /// may want more than were asked for.
    pub(crate) fn make_queue(&self, places: u32) -> anyhow::Result<u32> {
        let made: usize = ioctl::reqbufs(
            &self.node,
            self.queue,
            MemoryType::DmaBuf,
            places,
            MemoryConsistency::empty(),
        )
        .context("the camera takes no dma-bufs")?;
        Ok(u32::try_from(made)?)
    }

    /// Removes the queue. Only now does the camera let go of the buffers: it keeps
    /// them attached, and mapped for its DMA, from one VIDIOC_QBUF to the next.
    pub(crate) fn remove_queue(&self) -> anyhow::Result<()> {
        self.make_queue(0).map(drop)
    }

    /// Gives the camera a buffer to fill, in a place of the queue. Keep to one
    /// buffer a place: another one means a detach and an attach.
    pub(crate) fn queue(&self, index: usize, buffer: &Buffer) -> anyhow::Result<()> {
        let index = u32::try_from(index)?;
        let mut request = V4l2Buffer::new(self.queue, index, MemoryType::DmaBuf);
        if let V4l2PlanesWithBackingMut::DmaBuf(mut planes) = request.planes_with_backing_iter_mut()
        {
            let mut plane = planes.next().context("a frame without a plane")?;
            plane.set_fd(buffer.as_fd().as_raw_fd());
            *plane.length = u32::try_from(buffer.len())?;
        }
        ioctl::qbuf::<_, ()>(&self.node, request).with_context(|| {
            "the camera does not take a buffer. Without an IOMMU it may need contiguous ones: try a \
             CMA heap. The kernel log may tell more"
        })
    }

    pub(crate) fn start(&self) -> anyhow::Result<()> {
        ioctl::streamon(&self.node, self.queue).context("the camera does not start")
    }

    /// Stops; the camera gives back all buffers in its queue, unfilled.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        ioctl::streamoff(&self.node, self.queue).context("the camera does not stop")
    }

    /// Takes a frame out of the queue, if there is one.
    pub(crate) fn dequeue(&self) -> anyhow::Result<Option<Frame>> {
        let buffer: V4l2Buffer = match ioctl::dqbuf(&self.node, self.queue) {
            Err(IoctlConvertError::IoctlError(DqBufIoctlError::NotReady)) => return Ok(None),
            buffer => buffer.context("the camera gives no frame")?,
        };
        let time = buffer.timestamp();
        Ok(Some(Frame {
            index: usize::try_from(buffer.index())?,
            sequence: buffer.sequence(),
            time: Duration::from_secs(time.tv_sec.try_into()?)
                + Duration::from_micros(time.tv_usec.try_into()?),
            broken: buffer.has_error(),
        }))
    }
}

impl AsFd for Camera {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.node.as_fd()
    }
}

/// Only size and pixels are wishes; what is left at zero, the driver fills in.
fn wish(format: PixelFormat, size: (u32, u32)) -> Format {
    Format {
        width: size.0,
        height: size.1,
        pixelformat: format,
        // The interface with several buffers wants to be told of one plane.
        plane_fmt: vec![PlaneLayout::default()],
    }
}

fn one_plane(got: &Format) -> anyhow::Result<FrameFormat> {
    let [plane] = got.plane_fmt.as_slice() else {
        bail!("the camera spreads a frame over several buffers, which this example does not show");
    };
    Ok(FrameFormat {
        format: got.pixelformat,
        width: got.width,
        height: got.height,
        pitch: plane.bytesperline,
        size: plane.sizeimage,
    })
}

/// The rate for an interval.
fn per_second(interval: v4l2_fract) -> Option<f64> {
    (interval.numerator > 0)
        .then(|| f64::from(interval.denominator) / f64::from(interval.numerator))
}

/// A control's name as v4l2-ctl writes it: "Test Pattern" is `test_pattern`.
fn control_name(name: &[u8]) -> String {
    let mut text = String::new();
    let mut gap = false;
    for byte in name.iter().take_while(|byte| **byte != 0) {
        if byte.is_ascii_alphanumeric() {
            if gap && !text.is_empty() {
                text.push('_');
            }
            text.push(char::from(byte.to_ascii_lowercase()));
            gap = false;
        } else {
            gap = true;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_controls() {
        assert_eq!(control_name(b"Test Pattern\0\0"), "test_pattern");
        assert_eq!(
            control_name(b"Limited RGB Range (16-235)\0"),
            "limited_rgb_range_16_235"
        );
        assert_eq!(control_name(b"\0"), "");
    }

    #[test]
    fn rates() {
        let rate = |numerator, denominator| {
            per_second(v4l2_fract {
                numerator,
                denominator,
            })
        };
        assert_eq!(rate(1, 60), Some(60.0));
        assert_eq!(rate(2, 25), Some(12.5));
        assert_eq!(rate(0, 25), None);
    }
}
