// SPDX-License-Identifier: GPL-2.0

//! Memory pressure that comes and goes: a process that takes what is free, so
//! that the kernel must ask others to give back, and frees it again.

use anyhow::Context as _;
use std::time::Duration;

/// Bytes taken at a time.
const PIECE: usize = 4 << 20;

const MEMINFO: &str = "/proc/meminfo";

/// A line of it in bytes.
pub(super) fn meminfo(name: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(MEMINFO)?;
    parse(&text, name).with_context(|| format!("{MEMINFO} has no {name}"))
}

fn parse(text: &str, name: &str) -> Option<u64> {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let number: u64 = rest.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

/// Bytes that are left free, beside what the others may need: for the kernel.
const RESERVE: u64 = 64 << 20;

const WATERMARK: &str = "/proc/sys/vm/watermark_scale_factor";

/// Has the kernel take memory back early, while enough is left for those who
/// cannot wait: reclaim shall happen, the OOM killer not.
pub(super) struct Watermark(String);

impl Watermark {
    /// So early that [`run`] with as much to spare makes it begin.
    pub(super) fn raise(spare: u64) -> anyhow::Result<Self> {
        let before = std::fs::read_to_string(WATERMARK)?;
        // In units of a ten-thousandth of all memory, of which the kernel takes
        // 3000.
        let units = (spare + 2 * RESERVE) * 10_000 / meminfo("MemTotal")?;
        std::fs::write(WATERMARK, units.clamp(10, 3000).to_string())?;
        Ok(Self(before))
    }
}

impl Drop for Watermark {
    fn drop(&mut self) {
        // The machine goes on with the other one.
        let _ = std::fs::write(WATERMARK, self.0.trim());
    }
}

/// For how long it is held, and then not.
const HOLD: Duration = Duration::from_millis(700);

/// Takes memory until little more than `spare` bytes are free, holds it for a while and frees some,
/// until killed. Prints a line for each piece. On a machine that is `patience` times as slow, the
/// kernel has that many times as long to take memory back.
pub(super) fn run(spare: u64, patience: u32) -> anyhow::Result<()> {
    // If it comes to that, better this process than the machine's own.
    std::fs::write("/proc/self/oom_score_adj", "1000")?;
    let pieces = usize::try_from(meminfo("MemTotal")?)? / PIECE;
    let mut memory = Vec::new();
    loop {
        for index in memory.len()..pieces {
            if meminfo("MemFree")? < spare + RESERVE {
                break;
            }
            // Not zero: the allocator would hand out pages that nobody touched.
            memory.push(vec![u8::try_from(index % 255)? + 1; PIECE]);
            println!("ate {PIECE}");
        }
        std::thread::sleep(HOLD * patience);
        // The rest it keeps: to take it takes long.
        memory.truncate(memory.len() / 4 * 3);
        std::thread::sleep(HOLD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found() {
        let text = "MemTotal:        1000 kB\nMemFree:  12 kB\nHugePages_Total:  3\n";
        assert_eq!(parse(text, "MemFree"), Some(12 << 10));
        assert_eq!(parse(text, "Mem"), None);
        assert_eq!(parse(text, "HugePages_Total"), None);
    }
}
