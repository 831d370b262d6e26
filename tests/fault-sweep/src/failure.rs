// SPDX-License-Identifier: GPL-2.0

//! What stops a sweep.

/// What went wrong, in words.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

pub(crate) fn fail<T>(what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(what.into()))
}

/// Says of what file an error is.
pub(crate) fn at<T>(path: &str, result: std::io::Result<T>) -> Result<T, Failure> {
    result.map_err(|error| Failure(format!("{path}: {error}")))
}
