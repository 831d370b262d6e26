// SPDX-License-Identifier: GPL-2.0

//! The command line.

use clap::Parser;
use std::path::PathBuf;

/// Show a camera's pictures on a screen, in buffers of a dma-buf heap, without a
/// copy.
///
/// An example of a media pipeline: the heap provides the memory, the camera (V4L2)
/// writes into it, and the screen (KMS) shows it. This program only passes
/// descriptors on; it never maps a buffer.
///
/// Run it on a console, because a desktop holds the screen; as root, or as a user
/// in the groups of the devices.
#[derive(Debug, Parser)]
#[command(name = "camera-to-screen", version)]
pub(crate) struct Options {
    /// The heap: a name in /dev/dma_heap
    #[arg(long, default_value = "system")]
    pub(crate) heap: String,

    /// The camera
    #[arg(long, default_value = "/dev/video0", value_name = "DEVICE")]
    pub(crate) camera: PathBuf,

    /// The graphics device (default: the first that has a screen), or "none": then
    /// frames are captured but not shown
    #[arg(long, value_name = "DEVICE")]
    pub(crate) screen: Option<PathBuf>,

    /// End after this number of frames
    #[arg(long, default_value_t = 600, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) frames: u64,

    /// Frames per second to request from the camera
    #[arg(long, default_value_t = 60, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rate: u32,

    /// The size of the pictures, such as 640x480. Several are used in turn. The
    /// default is the largest that camera and screen support at that rate
    #[arg(long, value_name = "SIZE,...", value_delimiter = ',', value_parser = size)]
    pub(crate) size: Vec<(u32, u32)>,

    /// Change to the next size after this number of frames
    #[arg(long, default_value_t = 600, value_name = "FRAMES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) change_every: u64,

    /// Buffers in the pipeline. The screen uses at most three: one shown, one that is
    /// next, one that waits. The camera needs two or more
    #[arg(long, default_value_t = 6, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(4..=32))]
    pub(crate) buffers: u32,

    /// More clients of the heap at the same time: each allocates the buffers of a
    /// stream, one per frame, frees them all and starts again with another size
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    pub(crate) clients: usize,

    /// Set a control of the camera, such as brightness=100
    #[arg(long, value_name = "NAME=VALUE", value_parser = control)]
    pub(crate) control: Vec<(String, i32)>,

    /// Leave out DMA_BUF_IOCTL_SYNC: for a screen that fetches pictures by DMA
    #[arg(long)]
    pub(crate) no_sync: bool,

    /// Seconds to wait for a frame
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..=3600))]
    pub(crate) patience: i64,

    /// Keep the last picture on the screen until standard input has a line or ends
    #[arg(long)]
    pub(crate) wait: bool,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    text.split_once('x')
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)))
        .ok_or_else(|| "a size is two numbers, such as 640x480".to_owned())
}

fn control(text: &str) -> Result<(String, i32), String> {
    text.split_once('=')
        .and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .ok_or_else(|| "a control is a name and a number, such as brightness=100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn sizes_and_controls() {
        assert_eq!(size("640x480"), Ok((640, 480)));
        assert!(size("640").is_err());
        assert!(size("x480").is_err());
        assert_eq!(control("brightness=-1"), Ok(("brightness".to_owned(), -1)));
        assert!(control("brightness").is_err());
        assert!(control("brightness=high").is_err());
    }
}
