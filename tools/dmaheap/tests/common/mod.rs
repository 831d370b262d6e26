// SPDX-License-Identifier: GPL-2.0

//! What several tests of the program need.

#![allow(
    dead_code,
    reason = "each test is a program of its own and uses a part"
)]

pub(crate) mod machine;

/// How a test ends.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
