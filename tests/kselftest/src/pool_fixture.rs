// SPDX-License-Identifier: GPL-2.0

//! The memory that a heap keeps warm: its counters and its knobs.

use crate::outcome::Failure;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::patience::ample;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::MODULE_NAME;
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

/// How long the background may take for what it does at once, emulated machines
/// included.
const PATIENCE: Duration = Duration::from_secs(5);

/// A time for which no test waits.
const NEVER_MS: u64 = 600_000;

/// What a heap has done so far, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) zeroed_inline: u64,
    pub(crate) zeroed_background: u64,
    pub(crate) returned_zeroed: u64,
    pub(crate) returned_dirty: u64,
    pub(crate) trimmed: u64,
    pub(crate) reclaimed: u64,
}

impl Counters {
    /// Bytes that anybody zeroed.
    pub(crate) fn zeroed(&self) -> u64 {
        self.zeroed_inline + self.zeroed_background
    }

    /// Bytes that came back from buffers.
    pub(crate) fn returned(&self) -> u64 {
        self.returned_zeroed + self.returned_dirty
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            hits: self.hits - before.hits,
            misses: self.misses - before.misses,
            zeroed_inline: self.zeroed_inline - before.zeroed_inline,
            zeroed_background: self.zeroed_background - before.zeroed_background,
            returned_zeroed: self.returned_zeroed - before.returned_zeroed,
            returned_dirty: self.returned_dirty - before.returned_dirty,
            trimmed: self.trimmed - before.trimmed,
            reclaimed: self.reclaimed - before.reclaimed,
        }
    }
}

/// What a contiguous heap may keep in these tests: by itself it keeps less.
const CONTIGUOUS_CAP: u64 = 16 << 20;

/// What a heap keeps warm; the knobs are put back on drop.
pub(crate) struct PoolFixture<'t> {
    target: &'t Target,
    /// A contiguous heap keeps nothing when it has no buffers.
    living: RefCell<Option<Buffer>>,
    counters: PathBuf,
    knobs: PathBuf,
    cap: u64,
    cap_before: u64,
    trim_ms: u64,
}

/// Runs a test with a heap that keeps nothing when it begins, or skips it where
/// that cannot be had.
pub(crate) fn with(
    target: &Target,
    test: impl FnOnce(&PoolFixture<'_>) -> TestResult,
) -> TestResult {
    if !target.is_ours() {
        return skip("the kernel's own heaps keep nothing warm");
    }
    let Some(knobs) = target.info().sysfs.clone() else {
        return skip("the heap has no directory in sysfs");
    };
    let (Some(cap), Some(trim_ms)) = (
        target.info().attribute("pool_cap"),
        target.info().attribute("pool_trim_ms"),
    ) else {
        return fail("the heap lacks pool_cap or pool_trim_ms");
    };
    if cap == 0 {
        return skip("pool_cap is 0: the heap keeps nothing warm");
    }
    let living = target.is_contiguous().then(|| target.heap.alloc(page()));
    let pool = PoolFixture {
        target,
        living: RefCell::new(living.transpose()?),
        counters: PathBuf::from("/sys/kernel/debug")
            .join(MODULE_NAME)
            .join(target.name()),
        knobs,
        cap: if target.is_contiguous() {
            CONTIGUOUS_CAP
        } else {
            cap
        },
        cap_before: cap,
        trim_ms,
    };
    if let Err(error) = std::fs::read_to_string(pool.counters.join("hits")) {
        return skip(format!(
            "the counters in {} cannot be read: {error}; mount debugfs and run as root",
            pool.counters.display()
        ));
    }
    // A test shall not lose what it looks for because it was slow.
    pool.set_trim_ms(NEVER_MS)?;
    pool.empty()?;
    let outcome = test(&pool)?;
    pool.put_back()?;
    Ok(outcome)
}

/// Bytes that all heaps of the module keep.
pub(crate) fn held_by_all() -> Result<u64, Failure> {
    Ok(dma_heap::heaps()?
        .iter()
        .filter_map(|heap| heap.attribute("pool_held"))
        .sum())
}

impl PoolFixture<'_> {
    /// Bytes that may be kept in the test, unless it says otherwise.
    pub(crate) fn cap(&self) -> u64 {
        self.cap
    }

    /// Bytes that are kept.
    pub(crate) fn held(&self) -> Result<u64, Failure> {
        match self.target.info().attribute("pool_held") {
            Some(held) => Ok(held),
            None => fail("the heap lacks pool_held"),
        }
    }

    /// Closes the buffer that keeps a contiguous heap from giving back all that it keeps.
    pub(crate) fn close_living(&self) {
        self.living.take();
    }

    /// The knobs are the heap's alone, so that a write takes effect.
    fn set(&self, knob: &str, value: u64) -> Result<(), Failure> {
        let path = self.knobs.join(knob);
        match std::fs::write(&path, format!("{value}\n")) {
            Ok(()) => equal(knob, self.target.info().attribute(knob), Some(value)),
            Err(error) => fail(format!("{} cannot be set: {error}", path.display())),
        }
    }

    pub(crate) fn set_cap(&self, bytes: u64) -> Result<(), Failure> {
        self.set("pool_cap", bytes)
    }

    pub(crate) fn set_trim_ms(&self, ms: u64) -> Result<(), Failure> {
        self.set("pool_trim_ms", ms)
    }

    fn put_back(&self) -> Result<(), Failure> {
        self.set_trim_ms(self.trim_ms)?;
        self.set_cap(self.cap_before)
    }

    /// Has the heap give back all that it keeps.
    pub(crate) fn empty(&self) -> Result<(), Failure> {
        self.set_cap(0)?;
        // Time for the background to find that it may not get more, either.
        std::thread::sleep(Duration::from_millis(20));
        self.wait("an emptied heap keeps nothing", || Ok(self.held()? == 0))?;
        self.set_cap(self.cap)
    }

    /// A counter as it is.
    pub(crate) fn counter(&self, name: &str) -> Result<u64, Failure> {
        Ok(std::fs::read_to_string(self.counters.join(name))?
            .trim()
            .parse()?)
    }

    /// All counters as they are.
    pub(crate) fn counters(&self) -> Result<Counters, Failure> {
        Ok(Counters {
            hits: self.counter("hits")?,
            misses: self.counter("misses")?,
            zeroed_inline: self.counter("zeroed_inline")?,
            zeroed_background: self.counter("zeroed_background")?,
            returned_zeroed: self.counter("returned_zeroed")?,
            returned_dirty: self.counter("returned_dirty")?,
            trimmed: self.counter("trimmed")?,
            reclaimed: self.counter("reclaimed")?,
        })
    }

    /// What was counted since `before`.
    pub(crate) fn since(&self, before: &Counters) -> Result<Counters, Failure> {
        Ok(self.counters()?.since(before))
    }

    /// Waits until something holds that is to come soon.
    pub(crate) fn wait(
        &self,
        what: &str,
        mut holds: impl FnMut() -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        while !holds()? {
            if start.elapsed() > ample(PATIENCE) {
                return fail(format!(
                    "waited in vain: {what}; {} bytes are kept, and the counters are {:?}",
                    self.held()?,
                    self.counters()?
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until `bytes` have come back since `before`, and until those of
    /// them that are dirty are zeroed.
    pub(crate) fn wait_zeroed(&self, before: &Counters, bytes: u64) -> Result<Counters, Failure> {
        self.wait("freed memory comes back and is zeroed", || {
            let now = self.since(before)?;
            Ok(now.returned() >= bytes && now.zeroed() >= now.returned_dirty)
        })?;
        // A block is counted a moment before it can be had.
        std::thread::sleep(Duration::from_millis(10));
        self.since(before)
    }
}

impl Drop for PoolFixture<'_> {
    fn drop(&mut self) {
        // After a failure; it was written a moment ago with the same rights.
        let _ = self.put_back();
    }
}
