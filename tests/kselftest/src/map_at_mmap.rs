// SPDX-License-Identifier: GPL-2.0

//! The knob that has mappings get all their pages from the start.

use crate::outcome::Failure;
use crate::outcome::fail;
use crate::target::Target;
use std::path::PathBuf;

/// A heap's `map_at_mmap`, set until the value is dropped.
pub(crate) struct MapAtMmap {
    knob: PathBuf,
    before: String,
}

impl MapAtMmap {
    pub(crate) fn set(target: &Target, value: &str) -> Result<Self, Failure> {
        let Some(sysfs) = &target.info().sysfs else {
            return fail("the heap has no directory in sysfs");
        };
        let knob = sysfs.join("map_at_mmap");
        let before = std::fs::read_to_string(&knob)?;
        std::fs::write(&knob, value)?;
        Ok(Self { knob, before })
    }
}

impl Drop for MapAtMmap {
    fn drop(&mut self) {
        drop(std::fs::write(&self.knob, &self.before));
    }
}
