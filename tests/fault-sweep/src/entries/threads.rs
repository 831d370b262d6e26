// SPDX-License-Identifier: GPL-2.0

//! Kernel threads of the module: they get blocks in advance, and zero. The
//! contiguous heaps have none: what they keep is zeroed on a workqueue.

use super::MIXED;
use super::buffer;
use crate::failure::Failure;
use crate::failure::at;
use crate::failure::fail;
use crate::injection::Injection;
use crate::sweep::Entry;
use crate::sweep::Sweep;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::HeapInfo;
use std::time::Duration;
use std::time::Instant;

/// How long a thread of the lowest priority may take to get round to it.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it may take to do what follows from a fault.
const AFTERMATH: Duration = Duration::from_millis(20);

/// The processes of that name; kernel threads, for nobody else has it.
pub(crate) fn tasks(name: &str) -> Result<Vec<u32>, Failure> {
    let mut found = Vec::new();
    for entry in at("/proc", std::fs::read_dir("/proc"))? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse().ok()) else {
            continue;
        };
        // One that has ended meanwhile is not the one.
        if std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        {
            found.push(pid);
        }
    }
    Ok(found)
}

pub(crate) fn sweep(sweep: &mut Sweep, heap: &Heap) {
    let name = heap.name().to_owned();
    if let Err(failure) = threads_of(sweep, heap) {
        sweep.failed(&format!("{name}: its kernel thread"), &failure);
    }
}

fn threads_of(sweep: &mut Sweep, heap: &Heap) -> Result<(), Failure> {
    let name = heap.name();
    let Some(info) = sweep.heaps.iter().find(|info| info.name == name).cloned() else {
        return fail("the heap is not known");
    };
    if info.attribute("contiguous") == Some(1) {
        return Ok(());
    }
    let thread = "dma_heap_zero";
    let Some(pid) = tasks(thread)?.first().copied() else {
        return fail(format!("there is no thread {thread}"));
    };
    let injection = Injection::of_task(pid)?;
    let observer = Injection::of_task(pid)?;
    zero(sweep, heap, &info, thread, &injection, &observer);
    refill(sweep, heap, &info, thread, &injection, &observer);
    Ok(())
}

/// A counter of the heap in debugfs.
fn counter(heap: &str, name: &str) -> Result<u64, Failure> {
    let path = format!("/sys/kernel/debug/rust_dma_heap/{heap}/{name}");
    Ok(at(&path, std::fs::read_to_string(&path))?.trim().parse()?)
}

/// Waits until a counter is beyond a value, or a fault has come.
fn wait(observer: &Injection, reached: impl Fn() -> Result<bool, Failure>) -> Result<(), Errno> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if reached().map_err(|_| Errno::IO)? {
            return Ok(());
        }
        if observer.has_struck().map_err(|_| Errno::IO)? {
            std::thread::sleep(AFTERMATH);
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(Errno::TIMEDOUT)
}

fn empty(info: &HeapInfo) -> Result<(), Failure> {
    let Some(cap) = info.attribute("pool_cap") else {
        return fail("it has no pool");
    };
    let knob = info.sysfs.clone().unwrap_or_default().join("pool_cap");
    std::fs::write(&knob, "0")?;
    std::fs::write(&knob, cap.to_string())?;
    Ok(())
}

fn zero(
    sweep: &mut Sweep,
    heap: &Heap,
    info: &HeapInfo,
    thread: &str,
    injection: &Injection,
    observer: &Injection,
) {
    let name = heap.name();
    let zeroed = || counter(name, "zeroed_background");
    sweep.task(
        &Entry {
            name: &format!("{name}: {thread} zeroes a buffer"),
            errors: &[],
            every: true,
        },
        injection,
        || {
            empty(info)?;
            let buffer = buffer(heap, MIXED)?;
            let mut mapping = buffer.map()?;
            mapping.write()?.fill_with(|_| u64::MAX);
            drop(mapping);
            Ok((Some(buffer), zeroed()?))
        },
        |(buffer, before)| {
            drop(buffer.take());
            wait(observer, || Ok(zeroed()? >= *before + MIXED))
        },
    );
}

/// The second of two requests that find too little has blocks got in advance.
fn refill(
    sweep: &mut Sweep,
    heap: &Heap,
    info: &HeapInfo,
    thread: &str,
    injection: &Injection,
    observer: &Injection,
) {
    let name = heap.name();
    let refilled = || counter(name, "refilled");
    sweep.task(
        &Entry {
            name: &format!("{name}: {thread} gets blocks in advance"),
            errors: &[],
            every: true,
        },
        injection,
        || {
            empty(info)?;
            Ok((refilled()?, Vec::<Buffer>::new()))
        },
        |(before, buffers)| {
            for _ in 0..2 {
                buffers.push(buffer(heap, MIXED).map_err(|_| Errno::NOMEM)?);
            }
            wait(observer, || {
                Ok(refilled()? >= *before + MIXED - SINGLE_PAGES)
            })
        },
    );
}

/// Of `MIXED`, what comes in single pages.
const SINGLE_PAGES: u64 = 8 << 10;
