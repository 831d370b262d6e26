// SPDX-License-Identifier: GPL-2.0

//! `camera-to-screen`: an example of a media pipeline without a copy.
//!
//! Read [`pipeline`] first: it is the way of a frame. [`camera`] and [`screen`] are
//! what it asks of V4L2 and KMS, [`format`] how the two agree on pixels.

mod camera;
mod client;
mod format;
mod options;
mod pipeline;
mod report;
mod screen;
#[expect(unsafe_code, reason = "a union that the V4L2 crate leaves unread")]
mod sys;
mod times;

use clap::Parser as _;
use options::Options;
use std::process::ExitCode;

fn main() -> ExitCode {
    match pipeline::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
