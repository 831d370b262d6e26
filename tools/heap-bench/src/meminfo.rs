// SPDX-License-Identifier: GPL-2.0

//! `/proc/meminfo`.

use anyhow::Context as _;

/// One reading of it.
#[derive(Debug)]
pub(crate) struct Meminfo(String);

impl Meminfo {
    pub(crate) fn read() -> anyhow::Result<Self> {
        std::fs::read_to_string("/proc/meminfo")
            .map(Self)
            .context("cannot read /proc/meminfo")
    }

    /// A line's value in bytes.
    pub(crate) fn bytes(&self, name: &str) -> anyhow::Result<u64> {
        let value = self.0.lines().find_map(|line| {
            let (found, rest) = line.split_once(':')?;
            let number = rest.trim().strip_suffix(" kB")?;
            (found == name).then_some(number.trim().parse::<u64>().ok()?)
        });
        let kib = value.with_context(|| format!("/proc/meminfo has no {name}"))?;
        Ok(kib * 1024)
    }
}

#[cfg(test)]
impl From<&str> for Meminfo {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_name() {
        let text = "MemTotal:  981960 kB\nMemFree:   7 kB\nHugePages_Free:    0\n";
        let meminfo = Meminfo(text.into());
        assert_eq!(meminfo.bytes("MemFree").ok(), Some(7 << 10));
        assert!(meminfo.bytes("Mem").is_err());
        assert!(meminfo.bytes("HugePages_Free").is_err());
    }
}
