// SPDX-License-Identifier: GPL-2.0

//! How much memory a heap keeps warm, and for how long.

use crate::Test;
use crate::mmap::expect;
use crate::mmap::fill;
use crate::outcome::Failure;
use crate::outcome::Outcome;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::patience::ample;
use crate::pool_fixture;
use crate::pool_fixture::PoolFixture;
use crate::system;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::pattern::Pattern;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[
    ("what was freed is handed out again", hit),
    ("what was freed is counted as reclaimable", reclaimable),
    ("no more is kept than the cap", cap),
    ("a lower cap takes effect at once", lower_cap),
    ("a cap of 0 keeps nothing, dirty or not", no_cap),
    ("what is idle goes: memory is free as before", trim),
    (
        "nobody waits for the background where processors are busy",
        busy_processors,
    ),
    (
        "a shorter trim time is for what is kept already",
        shorter_trim,
    ),
    (
        "what is used again and again stays, if contiguous for a time",
        busy,
    ),
    ("drop_caches empties the pool", drop_caches),
    (
        "a large buffer is made of what small ones left",
        emptied_for_others,
    ),
];

/// A size that every pool may keep a few times.
const SIZE: u64 = 4 << 20;

/// What other counters of the kernel may be off by: each processor settles them
/// now and then, and other programs run.
const SLACK: u64 = 2 << 20;

fn hit(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        let before = pool.counters()?;
        target.heap.alloc(SIZE)?;
        let first = pool.since(&before)?;
        equal("what the first buffer found", first.hits, 0)?;
        equal("what it did not find", first.misses, SIZE)?;
        kept(pool, SIZE)?;
        let again = target.heap.alloc(SIZE)?;
        let second = pool.since(&before)?;
        equal("what the second buffer found", second.hits, SIZE)?;
        equal("what it did not find", second.misses, SIZE)?;
        expect(&again.map()?, |_| 0)?;
        Ok(Pass)
    })
}

/// Waits until so many bytes are kept. They may be more: a heap that was asked
/// for much lately gets some in advance.
fn kept(pool: &PoolFixture<'_>, bytes: u64) -> Result<(), Failure> {
    pool.wait("freed memory is kept", || Ok(pool.held()? >= bytes))
}

/// Fails unless a number is at least as large as wanted.
fn at_least(what: &str, seen: u64, wanted: u64) -> Result<(), Failure> {
    if seen >= wanted {
        return Ok(());
    }
    fail(format!("{what} is {seen} instead of {wanted} or more"))
}

/// Has the heap keep `bytes`, in buffers that were written if wanted.
fn keep(target: &Target, bytes: u64, written: bool) -> Result<(), Failure> {
    let buffers = (0..bytes / SIZE)
        .map(|_| target.heap.alloc(SIZE))
        .collect::<Result<Vec<_>, _>>()?;
    if written {
        for buffer in &buffers {
            fill(&mut buffer.map()?, Pattern::random()?)?;
        }
    }
    Ok(())
}

/// What a heap can keep in these tests.
fn most(pool: &PoolFixture<'_>) -> u64 {
    pool.cap().min(8 * SIZE) / SIZE * SIZE
}

fn reclaimable(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        let most = most(pool);
        // Another heap may let go of what it has kept meanwhile.
        let others = system::reclaimable()?.saturating_sub(pool_fixture::held_by_all()?);
        let settled = || {
            let seen = system::reclaimable()?;
            Ok(seen.abs_diff(others + pool_fixture::held_by_all()?) < SLACK)
        };
        keep(target, most, false)?;
        kept(pool, most)?;
        pool.wait("KReclaimable has what is kept", settled)?;
        pool.empty()?;
        pool.wait("KReclaimable lacks what was given back", settled)?;
        Ok(Pass)
    })
}

fn cap(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        for cap in [SIZE, SIZE + (SIZE >> 1), page() - 1] {
            pool.empty()?;
            pool.set_cap(cap)?;
            let buffers = (0..3)
                .map(|_| target.heap.alloc(SIZE))
                .collect::<Result<Vec<_>, _>>()?;
            for buffer in buffers {
                drop(buffer);
                let held = pool.held()?;
                if held > cap {
                    return fail(format!("{held} bytes are kept under a cap of {cap}"));
                }
            }
            // Blocks that fit are kept all the same.
            if cap >= SIZE {
                pool.wait("what fits is kept", || Ok(pool.held()? >= SIZE))?;
            }
        }
        Ok(Pass)
    })
}

fn lower_cap(target: &Target) -> TestResult {
    /// Pages that the background may get in advance at once: those go when it puts them down.
    const IN_HAND: u64 = 512;

    pool_fixture::with(target, |pool| {
        let most = most(pool);
        keep(target, most, false)?;
        kept(pool, most)?;
        for cap in [most / 2, page(), 0] {
            pool.set_cap(cap)?;
            let held = pool.held()?;
            if held > cap + IN_HAND * page() {
                return fail(format!("{held} bytes are still kept under a cap of {cap}"));
            }
            pool.wait("what is in hand goes, too", || Ok(pool.held()? <= cap))?;
        }
        Ok(Pass)
    })
}

/// The background may have some of it in its hands at this moment: what it puts
/// back later must go, too.
fn no_cap(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        for written in [false, true] {
            pool.set_cap(pool.cap())?;
            keep(target, most(pool), written)?;
            pool.set_cap(0)?;
            pool.wait("nothing is kept under a cap of 0", || Ok(pool.held()? == 0))?;
            let before = pool.counters()?;
            drop(target.heap.alloc(SIZE)?);
            target.heap.alloc(SIZE)?;
            let now = pool.since(&before)?;
            equal(
                "what was kept under a cap of 0",
                (now.hits, now.misses),
                (0, 2 * SIZE),
            )?;
        }
        Ok(Pass)
    })
}

const TRIM: Duration = Duration::from_millis(200);

/// Waits for the trim of all that is kept: twice its time, and some more for a
/// busy machine.
fn wait_for_trim(pool: &PoolFixture<'_>) -> Result<(), Failure> {
    let start = Instant::now();
    while pool.held()? > 0 {
        let waited = start.elapsed();
        if waited > 2 * TRIM + ample(Duration::from_secs(3)) {
            return fail(format!(
                "after {waited:?} with a trim time of {TRIM:?}, {} bytes are still kept",
                pool.held()?
            ));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn trim_ms() -> Result<u64, Failure> {
    Ok(u64::try_from(TRIM.as_millis())?)
}

/// Has the heap keep memory until that is idle, and returns how many bytes the machine lacks then.
fn lacks_after_trim(
    target: &Target,
    pool: &PoolFixture<'_>,
    written: bool,
) -> Result<u64, Failure> {
    let most = most(pool);
    let free = system::free_memory()?;
    let before = pool.counters()?;
    keep(target, most, written)?;
    // On a slow machine it may be gone already when this looks.
    pool.wait("what was freed comes back", || {
        Ok(pool.since(&before)?.returned() >= most)
    })?;
    wait_for_trim(pool)?;
    // What went is counted a moment later.
    pool.wait("what went is counted as idle", || {
        Ok(pool.since(&before)?.trimmed >= most)
    })?;
    // Of contiguous memory as well: it is free for pages that can move.
    let start = Instant::now();
    loop {
        let lacks = free.saturating_sub(system::free_memory()?);
        if lacks <= SLACK || start.elapsed() > ample(Duration::from_secs(5)) {
            return Ok(lacks);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn trim(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        pool.set_trim_ms(trim_ms()?)?;
        for written in [false, true] {
            // Others take memory, too, but not each time.
            let first = lacks_after_trim(target, pool, written)?;
            if first > SLACK {
                let again = lacks_after_trim(target, pool, written)?;
                if again > SLACK {
                    return fail(format!(
                        "{first} bytes did not come back, and then {again} more"
                    ));
                }
            }
        }
        Ok(Pass)
    })
}

/// Threads that keep all processors busy until it is dropped.
struct Spinners {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Spinners {
    fn start() -> Result<Self, Failure> {
        let end = Arc::new(AtomicBool::new(false));
        // Two each, so that one waits for the other.
        let threads = (0..2 * std::thread::available_parallelism()?.get()).map(|_| {
            let end = Arc::clone(&end);
            std::thread::spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        });
        Ok(Self {
            threads: threads.collect(),
            end,
        })
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It cannot panic.
            let _ = thread.join();
        }
    }
}

/// What zeroes at a low priority gets little of a busy processor. Neither memory that
/// is idle nor an allocation that finds none waits for it.
fn busy_processors(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        let most = most(pool);
        let spinners = Spinners::start()?;
        // All that is kept is dirty, and it is not enough.
        keep(target, most, true)?;
        let start = Instant::now();
        drop(target.heap.alloc(most + SIZE / 2)?);
        let took = start.elapsed();
        if took > ample(Duration::from_secs(2)) {
            return fail(format!("an allocation took {took:?}"));
        }
        pool.set_trim_ms(trim_ms()?)?;
        keep(target, most, true)?;
        wait_for_trim(pool)?;
        drop(spinners);
        Ok(Pass)
    })
}

fn shorter_trim(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        let most = most(pool);
        keep(target, most, false)?;
        kept(pool, most)?;
        pool.set_trim_ms(trim_ms()?)?;
        wait_for_trim(pool)?;
        Ok(Pass)
    })
}

/// Memory that is taken and given back within the trim time is not idle. A
/// contiguous run goes back all the same, when it has been kept for that time
/// altogether: it may lie in the way of others.
fn busy(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        let trim = 5 * TRIM;
        pool.set_trim_ms(u64::try_from(trim.as_millis())?)?;
        let first = Instant::now();
        loop {
            if let Some(result) = turns(target, pool, trim)? {
                return Ok(result);
            }
            if first.elapsed() > ample(STANDSTILLS) {
                return fail(format!(
                    "the machine stands still for {trim:?} again and again"
                ));
            }
        }
    })
}

/// How long to look for a time in which the machine never stands still.
const STANDSTILLS: Duration = Duration::from_secs(60);

/// Takes and gives back a buffer for a few trim times: as long as it takes until a
/// contiguous one has been kept for one altogether, which may be long where getting
/// it takes longest. `None` if there was a turn as long as `trim`, in which memory may
/// have been idle for that time.
fn turns(
    target: &Target,
    pool: &PoolFixture<'_>,
    trim: Duration,
) -> Result<Option<Outcome>, Failure> {
    let start = Instant::now();
    drop(target.heap.alloc(SIZE)?);
    let before = pool.counters()?;
    let mut turns = 0;
    let mut last = start;
    let now = loop {
        std::thread::sleep(TRIM / 4);
        let turn = Instant::now();
        drop(target.heap.alloc(SIZE)?);
        turns += 1;
        // From before the memory came back to when it was wanted again, or later.
        if last.elapsed() >= trim {
            return Ok(None);
        }
        last = turn;
        let now = pool.since(&before)?;
        let wanted = if target.is_contiguous() { SIZE } else { 0 };
        let waited = start.elapsed();
        if waited >= 12 * TRIM && (now.misses >= wanted || waited > ample(12 * trim)) {
            break now;
        }
    };
    equal(
        "what all the buffers had",
        now.hits + now.misses,
        turns * SIZE,
    )?;
    if target.is_contiguous() {
        at_least("misses of a run in use", now.misses, SIZE)?;
        let trims = u64::try_from(start.elapsed().as_millis() / trim.as_millis())?;
        at_least("what may miss", trims * SIZE, now.misses)?;
    } else {
        equal("misses of a buffer in use", now.misses, 0)?;
    }
    Ok(Some(Pass))
}

fn drop_caches(target: &Target) -> TestResult {
    pool_fixture::with(target, |pool| {
        let most = most(pool);
        for written in [false, true] {
            let before = pool.counters()?;
            keep(target, most, written)?;
            pool.wait_zeroed(&before, most)?;
            kept(pool, most)?;
            if let Err(error) = std::fs::write("/proc/sys/vm/drop_caches", "2\n") {
                return skip(format!(
                    "drop_caches cannot be written: {error}; run as root"
                ));
            }
            pool.wait("nothing is kept", || Ok(pool.held()? == 0))?;
            at_least("what reclaim took", pool.since(&before)?.reclaimed, most)?;
        }
        // And the pool is back at work.
        keep(target, most, false)?;
        kept(pool, most)?;
        Ok(Pass)
    })
}

/// A contiguous area is full of what is kept, and a larger buffer is asked for.
fn emptied_for_others(target: &Target) -> TestResult {
    if !target.is_contiguous() {
        return skip("the heap does not promise contiguous buffers");
    }
    let Some(limit) = target.limit() else {
        return skip("the kernel's own heaps keep nothing warm");
    };
    pool_fixture::with(target, |pool| {
        let large = target.largest(limit / 2)?;
        for written in [false, true] {
            pool.empty()?;
            pool.set_cap(limit)?;
            let mut buffers: Vec<Buffer> = Vec::new();
            while let Ok(buffer) = target.heap.alloc(large / 4) {
                buffers.push(buffer);
            }
            let filled = buffers.len() as u64 * (large / 4);
            if filled < large {
                return fail(format!(
                    "only {filled} bytes of {large} can be had in quarters"
                ));
            }
            if written {
                for buffer in &buffers {
                    fill(&mut buffer.map()?, Pattern::random()?)?;
                }
            }
            drop(buffers);
            kept(pool, filled)?;
            let free = system::meminfo("CmaFree")?;
            if free >= large {
                return fail(format!(
                    "{free} bytes are free beside the {filled} that are kept: that says little"
                ));
            }
            let buffer = target.heap.alloc(large)?;
            expect(&buffer.map()?, |_| 0)?;
        }
        Ok(Pass)
    })
}
