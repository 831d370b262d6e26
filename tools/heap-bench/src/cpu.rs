// SPDX-License-Identifier: GPL-2.0

//! CPU time of this process and of the kernel's own threads.
//!
//! What a heap leaves to a worker is paid all the same. The kernel counts the
//! time of each thread in nanoseconds (the first number of
//! `/proc/PID/schedstat`, needs CONFIG_SCHED_INFO), so the time of all kernel
//! threads together is known without knowing which of them work for a heap.

use anyhow::Context as _;
use rustix::time::ClockId;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;
use std::time::Instant;

/// `PF_KTHREAD` among the flags in `/proc/PID/stat`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// How long kernel threads must have next to nothing to do to be at rest.
const PERIOD: Duration = Duration::from_millis(500);

/// CPU time of this process, of all its threads, in nanoseconds.
pub(crate) fn of_process() -> u64 {
    let time = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
    // Neither is negative, and 64 bits are centuries.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The kernel threads that were seen, with their open schedstat files; `None`
/// for other processes.
#[derive(Debug, Default)]
pub(crate) struct KernelThreads(HashMap<u32, Option<File>>);

/// CPU time of each kernel thread at some moment.
#[derive(Debug)]
pub(crate) struct Snapshot(HashMap<u32, u64>);

impl KernelThreads {
    /// Reads the time of each.
    ///
    /// # Errors
    ///
    /// If there is not one kernel thread whose time is known.
    pub(crate) fn snapshot(&mut self) -> anyhow::Result<Snapshot> {
        let mut times = HashMap::new();
        for entry in std::fs::read_dir("/proc").context("cannot read /proc")? {
            let name = entry.context("cannot read /proc")?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let file = match self.0.entry(pid) {
                Entry::Occupied(seen) => seen.into_mut(),
                Entry::Vacant(new) => new.insert(open(pid)),
            };
            match file.as_ref().map(run_time) {
                Some(Some(time)) => drop(times.insert(pid, time)),
                // It has ended, and its number may come back.
                Some(None) => drop(self.0.remove(&pid)),
                None => {}
            }
        }
        anyhow::ensure!(
            !times.is_empty(),
            "the CPU time of kernel threads is not to be had: /proc/PID/schedstat needs \
             CONFIG_SCHED_INFO, and /proc must show all processes"
        );
        Ok(Snapshot(times))
    }
}

/// A machine that has just booted still has work of its own, and with one
/// processor it would be measured along. Waits until kernel threads rest, and
/// says whether they do before that time has gone by.
pub(crate) fn wait_for_rest(patience: Duration) -> anyhow::Result<bool> {
    let mut threads = KernelThreads::default();
    let start = Instant::now();
    while start.elapsed() < patience {
        let before = threads.snapshot()?;
        std::thread::sleep(PERIOD);
        let busy = threads.snapshot()?.since(&before);
        if Duration::from_nanos(busy) < PERIOD / 50 {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Snapshot {
    /// Nanoseconds that kernel threads ran since `before`.
    pub(crate) fn since(&self, before: &Self) -> u64 {
        self.0
            .iter()
            .map(|(pid, time)| time.saturating_sub(before.0.get(pid).copied().unwrap_or(0)))
            .sum()
    }
}

/// The schedstat file of a kernel thread; `None` if it is another process.
fn open(pid: u32) -> Option<File> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    if flags(&stat)? & KERNEL_THREAD == 0 {
        return None;
    }
    File::open(format!("/proc/{pid}/schedstat")).ok()
}

/// The flags in a stat line. The name before them is in brackets and may have
/// any character.
fn flags(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(6)?.parse().ok()
}

fn run_time(file: &File) -> Option<u64> {
    let mut bytes = [0; 64];
    let len = file.read_at(&mut bytes, 0).ok()?;
    let text = std::str::from_utf8(bytes.get(..len)?).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_after_the_name() {
        let stat = "2 (a b) c) S 0 0 0 0 -1 2129984 0 0";
        assert_eq!(flags(stat), Some(2_129_984));
        assert_eq!(
            flags(stat).map(|flags| flags & KERNEL_THREAD),
            Some(KERNEL_THREAD)
        );
        assert_eq!(flags("1 (init) S 0"), None);
    }

    #[test]
    fn differences_count_threads_that_are_new() {
        let before = Snapshot(HashMap::from([(1, 100), (2, 50), (3, 7)]));
        let after = Snapshot(HashMap::from([(1, 130), (2, 50), (4, 5)]));
        assert_eq!(after.since(&before), 35);
    }

    #[test]
    fn this_process_takes_time() {
        let before = of_process();
        let mut sum = 0_u64;
        for number in 0..1_000_000 {
            sum = std::hint::black_box(sum + number);
        }
        assert!(of_process() > before);
    }
}
