// SPDX-License-Identifier: GPL-2.0

//! What a test comes to.

use dma_heap::Errno;
use std::fmt::Debug;

/// A test that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It passed.
    Pass,
    /// It could not be made, for want of what the text says.
    Skip(String),
}

/// A test that failed, and what was seen.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

pub(crate) type TestResult = Result<Outcome, Failure>;

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

pub(crate) fn skip(reason: impl Into<String>) -> TestResult {
    Ok(Outcome::Skip(reason.into()))
}

pub(crate) fn fail<T>(what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(what.into()))
}

/// Fails unless two values are equal.
pub(crate) fn equal<T: PartialEq + Debug>(what: &str, seen: T, wanted: T) -> Result<(), Failure> {
    if seen == wanted {
        return Ok(());
    }
    fail(format!("{what} is {seen:?} instead of {wanted:?}"))
}

/// Fails unless a call was refused with `wanted`.
pub(crate) fn refused<T>(
    what: &str,
    result: Result<T, Errno>,
    wanted: Errno,
) -> Result<(), Failure> {
    match result {
        Err(errno) if errno == wanted => Ok(()),
        Err(errno) => fail(format!("{what} gave {errno} instead of {wanted}")),
        Ok(_) => fail(format!("{what} succeeded instead of {wanted}")),
    }
}

/// The errno of a library call, so that `refused` can look at it.
pub(crate) fn errno<T>(result: Result<T, dma_heap::Error>) -> Result<T, Errno> {
    result.map_err(|error| error.errno().unwrap_or(Errno::IO))
}
