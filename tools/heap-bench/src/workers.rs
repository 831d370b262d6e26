// SPDX-License-Identifier: GPL-2.0

//! The module's pools: waiting until nobody works on them, and emptying them.
//!
//! The names of files are all here. A module that has no such file has nothing
//! of the kind, and counts as zero.

use anyhow::Context as _;
use anyhow::bail;
use dma_heap::HeapInfo;
use dma_heap::MODULE_NAME;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

/// Where the counters are; a directory a heap.
const DEBUGFS: &str = "/sys/kernel/debug";
/// In debugfs: bytes that wait to be zeroed.
const DIRTY: &str = "pool_dirty";
/// In debugfs: what else moves while a worker works.
const WORK: [&str; 3] = ["zeroed_background", "refilled", "trimmed"];
/// In sysfs: bytes that the pool holds.
const HELD: &str = "pool_held";
/// In sysfs: bytes that it may hold.
const CAP: &str = "pool_cap";

/// The names of the module's kernel threads begin so.
const THREADS: &str = "dma_heap_";
/// Bytes that a pool may leave dirty for the next allocation, since to wake a
/// thread for less costs more than to zero it.
const LEFT: u64 = 64 << 10;

/// Between two looks that have to agree.
const PAUSE: Duration = Duration::from_millis(1);
/// A pool of any size is zeroed in less.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pools of all heaps of the module, and the threads that work on them.
#[derive(Debug)]
pub(crate) struct Pools {
    pools: Vec<Pool>,
    /// The stat file of each thread.
    threads: Vec<PathBuf>,
}

#[derive(Debug)]
struct Pool {
    name: String,
    sysfs: PathBuf,
    counters: PathBuf,
}

impl Pools {
    /// Those of the heaps in `heaps` that have one.
    pub(crate) fn of(heaps: &[HeapInfo]) -> Self {
        let pools = heaps.iter().filter(|heap| heap.is_ours());
        let pools: Vec<Pool> = pools
            .filter_map(|heap| {
                Some(Pool {
                    name: heap.name.clone(),
                    sysfs: heap.sysfs.clone()?,
                    counters: Path::new(DEBUGFS).join(MODULE_NAME).join(&heap.name),
                })
            })
            .collect();
        Self {
            threads: if pools.is_empty() {
                Vec::new()
            } else {
                threads()
            },
            pools,
        }
    }

    /// Waits until no worker has anything to do: each thread sleeps, next to
    /// nothing is dirty, and between two looks no counter has moved.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        if self.pools.is_empty() {
            // So that a sample without the module comes after the same rest.
            std::thread::sleep(PAUSE);
            return Ok(());
        }
        let start = Instant::now();
        let mut before = None;
        loop {
            let now: Vec<State> = self.pools.iter().map(Pool::state).collect();
            let clean = now.iter().all(|state| state.dirty < LEFT);
            let asleep = self.threads.iter().all(|stat| is_asleep(stat));
            if clean && asleep && before.as_ref() == Some(&now) {
                break;
            }
            if start.elapsed() > PATIENCE {
                bail!(
                    "the pools are still at work after {} s: {}",
                    PATIENCE.as_secs(),
                    self.describe(&now)
                );
            }
            before = Some(now);
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn describe(&self, states: &[State]) -> String {
        let pools = self.pools.iter().zip(states);
        let texts: Vec<String> = pools
            .map(|(pool, state)| {
                format!(
                    "{} holds {} bytes, {} of them dirty",
                    pool.name, state.held, state.dirty
                )
            })
            .collect();
        texts.join("; ")
    }

    /// Empties every pool the way that an administrator would: sets its cap to
    /// zero, waits until it holds nothing, and sets the cap to what it was.
    pub(crate) fn drain(&self) -> anyhow::Result<()> {
        self.pools.iter().try_for_each(Pool::drain)
    }
}

/// The stat files of the module's threads.
fn threads() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|dir| {
            std::fs::read_to_string(dir.join("comm")).is_ok_and(|name| name.starts_with(THREADS))
        })
        .map(|dir| dir.join("stat"))
        .collect()
}

/// Whether a thread waits for work, by its stat file. One that has ended does
/// no work either.
fn is_asleep(stat: &Path) -> bool {
    std::fs::read_to_string(stat).map_or(true, |line| {
        line.rsplit_once(") ")
            .is_some_and(|(_, fields)| fields.starts_with(['S', 'I']))
    })
}

/// What can be seen of a pool.
#[derive(Debug, PartialEq, Eq)]
struct State {
    dirty: u64,
    held: u64,
    work: [u64; WORK.len()],
}

impl Pool {
    fn state(&self) -> State {
        State {
            dirty: number(&self.counters.join(DIRTY)),
            held: number(&self.sysfs.join(HELD)),
            work: WORK.map(|name| number(&self.counters.join(name))),
        }
    }

    fn drain(&self) -> anyhow::Result<()> {
        let cap = number(&self.sysfs.join(CAP));
        if cap == 0 {
            return Ok(());
        }
        self.set_cap(0)?;
        let emptied = self.wait_empty();
        // Whatever came of it: the heap is not to stay without a pool.
        self.set_cap(cap)?;
        emptied
    }

    fn set_cap(&self, bytes: u64) -> anyhow::Result<()> {
        let file = self.sysfs.join(CAP);
        std::fs::write(&file, bytes.to_string())
            .with_context(|| format!("cannot set {} (root can)", file.display()))
    }

    fn wait_empty(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        while number(&self.sysfs.join(HELD)) != 0 {
            if start.elapsed() > PATIENCE {
                bail!(
                    "{} still holds {} bytes, {} s after {CAP} was set to 0",
                    self.name,
                    number(&self.sysfs.join(HELD)),
                    PATIENCE.as_secs()
                );
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

fn number(file: &Path) -> u64 {
    std::fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(pool: Pool) -> Pools {
        Pools {
            pools: vec![pool],
            threads: Vec::new(),
        }
    }

    fn pool(name: &str) -> std::io::Result<Pool> {
        let dir = std::env::temp_dir().join(format!("dmaheap-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        Ok(Pool {
            name: name.into(),
            sysfs: dir.clone(),
            counters: dir,
        })
    }

    #[test]
    fn a_pool_without_files_is_at_rest() -> anyhow::Result<()> {
        let pool = pool("rest")?;
        assert_eq!(pool.state().dirty, 0);
        pool.drain()?;
        assert!(!pool.sysfs.join(CAP).exists());
        std::fs::remove_dir_all(&pool.sysfs)?;
        pools(pool).settle()
    }

    #[test]
    fn the_cap_comes_back() -> anyhow::Result<()> {
        let pool = pool("cap")?;
        std::fs::write(pool.sysfs.join(CAP), "4096\n")?;
        std::fs::write(pool.sysfs.join(HELD), "0\n")?;
        pool.drain()?;
        assert_eq!(number(&pool.sysfs.join(CAP)), 4096);
        std::fs::remove_dir_all(&pool.sysfs)?;
        Ok(())
    }

    #[test]
    fn sleep_is_told_from_work() -> std::io::Result<()> {
        let file = std::env::temp_dir().join(format!("dmaheap-stat-{}", std::process::id()));
        for (line, asleep) in [
            ("7 (dma_heap_zero) S 2 0", true),
            ("7 (dma_heap_zero) I 2 0", true),
            ("7 (dma_heap_zero) R 2 0", false),
            ("7 (a) S) D 2 0", false),
        ] {
            std::fs::write(&file, line)?;
            assert_eq!(is_asleep(&file), asleep, "{line}");
        }
        std::fs::remove_file(&file)?;
        assert!(is_asleep(&file));
        Ok(())
    }

    #[test]
    fn settling_waits_for_what_is_dirty() -> anyhow::Result<()> {
        let pool = pool("dirty")?;
        let dir = pool.sysfs.clone();
        std::fs::write(dir.join(DIRTY), (2 * LEFT).to_string())?;
        let cleaner = std::thread::spawn({
            let file = dir.join(DIRTY);
            move || {
                std::thread::sleep(Duration::from_millis(30));
                std::fs::write(file, "4096\n")
            }
        });
        let start = Instant::now();
        pools(pool).settle()?;
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(cleaner.join().is_ok_and(|written| written.is_ok()));
        std::fs::remove_dir_all(&dir)?;
        Ok(())
    }
}
