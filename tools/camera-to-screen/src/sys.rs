// SPDX-License-Identifier: GPL-2.0

//! The one thing for which `v4l2r` has no safe way: to read the union in
//! `struct v4l2_streamparm`.

use v4l2r::QueueType;
use v4l2r::bindings::v4l2_captureparm;
use v4l2r::bindings::v4l2_fract;
use v4l2r::bindings::v4l2_streamparm;

/// The time from one captured frame to the next, as the ioctl takes it.
pub(crate) fn capture_parameters(queue: QueueType, interval: v4l2_fract) -> v4l2_streamparm {
    let mut parameters = v4l2_streamparm {
        type_: queue as u32,
        ..Default::default()
    };
    parameters.parm.capture = v4l2_captureparm {
        timeperframe: interval,
        ..Default::default()
    };
    parameters
}

/// The interval in what the ioctl has returned for a capture queue.
pub(crate) struct Interval(pub(crate) v4l2_fract);

impl From<v4l2_streamparm> for Interval {
    fn from(parameters: v4l2_streamparm) -> Self {
        // SAFETY: The member for capture queues is the one that
        // `capture_parameters` and the kernel have filled in. Any bits are a
        // value of it.
        let capture = unsafe { parameters.parm.capture };
        Self(capture.timeperframe)
    }
}
