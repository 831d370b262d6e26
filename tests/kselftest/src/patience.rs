// SPDX-License-Identifier: GPL-2.0

//! How long to wait on a slow machine: an emulated one whose kernel checks every
//! access to memory takes several times as long for everything.

use std::env::VarError;
use std::sync::OnceLock;
use std::time::Duration;

/// The environment's word for how many times as long the tests are to wait.
pub(crate) const VARIABLE: &str = "DMAHEAP_PATIENCE";

static FACTOR: OnceLock<u32> = OnceLock::new();

/// Reads the environment, or says what is wrong with it.
pub(crate) fn read() -> Result<(), String> {
    let factor = match std::env::var(VARIABLE) {
        Err(VarError::NotPresent) => 1,
        Err(error) => return Err(format!("{VARIABLE}: {error}")),
        Ok(text) => factor(&text)?,
    };
    FACTOR.get_or_init(|| factor);
    Ok(())
}

fn factor(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(factor @ 1..=100) => Ok(factor),
        _ => Err(format!(
            "{VARIABLE} is {text}; it is a number from 1 to 100"
        )),
    }
}

/// How many times as slow as an ordinary machine this one is.
pub(crate) fn slowness() -> u32 {
    FACTOR.get().copied().unwrap_or(1)
}

/// A time that is ample for an ordinary machine, made ample for this one.
pub(crate) fn ample(time: Duration) -> Duration {
    time * slowness()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_factors() {
        assert_eq!(factor("1"), Ok(1));
        assert_eq!(factor("100"), Ok(100));
    }

    #[test]
    fn mistakes_are_found() {
        for text in ["", "0", "101", "-1", "2.5", "much"] {
            assert!(factor(text).is_err());
        }
    }
}
