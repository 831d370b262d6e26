// SPDX-License-Identifier: GPL-2.0

//! What root writes and everyone reads: sysfs, debugfs, and the kernel's own
//! knob that makes the pools give back.

use super::MIXED;
use super::buffer;
use super::os;
use crate::failure::Failure;
use crate::failure::fail;
use crate::sweep::Entry;
use crate::sweep::Sweep;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Heap;
use dma_heap::HeapInfo;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;

const ERRORS: [Errno; 2] = [Errno::NOMEM, Errno::FAULT];

pub(crate) fn sweep(sweep: &mut Sweep, heap: &Heap) {
    let name = heap.name();
    let info = sweep.heaps.iter().find(|info| info.name == name);
    let Some(sysfs) = info.and_then(|info| info.sysfs.clone()) else {
        return sweep.failed(name, &Failure("it has no folder in sysfs".into()));
    };
    for knob in ["limit", "keep_mappings", "pool_trim_ms", "pool_cap"] {
        // What it is, so that nothing changes.
        let value = match std::fs::read(sysfs.join(knob)) {
            Ok(value) => value,
            Err(error) => return sweep.failed(knob, &error.into()),
        };
        let path = sysfs.join(knob);
        sweep.call(
            &Entry {
                name: &format!("{name}: write {knob}"),
                errors: &ERRORS,
                every: true,
            },
            || Ok(()),
            |()| os(write(&path, &value)),
        );
    }
    read(sweep, &format!("{name}: read used"), &sysfs.join("used"));
    let counter = Path::new("/sys/kernel/debug/rust_dma_heap")
        .join(name)
        .join("hits");
    read(
        sweep,
        &format!("{name}: read a counter in debugfs"),
        &counter,
    );
}

fn write(path: &Path, value: &[u8]) -> std::io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(value)
}

fn read(sweep: &mut Sweep, name: &str, path: &Path) {
    sweep.call(
        &Entry {
            name,
            errors: &ERRORS,
            every: true,
        },
        || Ok(()),
        |()| {
            let mut text = [0; 64];
            os(File::open(path).and_then(|mut file| file.read(&mut text)))
        },
    );
}

/// With a pool that holds something: all ways in which it is asked for it.
pub(crate) fn sweep_filled(sweep: &mut Sweep, heap: &Heap) {
    let name = heap.name();
    let info = sweep.heaps.iter().find(|info| info.name == name).cloned();
    let Some((info, sysfs)) = info.and_then(|info| Some((info.clone(), info.sysfs?))) else {
        return sweep.failed(name, &Failure("it has no folder in sysfs".into()));
    };
    let cap = info.attribute("pool_cap").unwrap_or(0);
    let knob = sysfs.join("pool_cap");
    // A slow machine shall not find that what was put there has gone by itself.
    let trim = info.attribute("pool_trim_ms").unwrap_or(0);
    let trim_knob = sysfs.join("pool_trim_ms");
    if let Err(error) = std::fs::write(&trim_knob, "600000") {
        return sweep.failed(name, &error.into());
    }
    for (what, path, value) in [
        ("write 0 to pool_cap", knob.as_path(), "0"),
        ("drop_caches", Path::new("/proc/sys/vm/drop_caches"), "2"),
    ] {
        sweep.call(
            &Entry {
                name: &format!("{name}, pool filled: {what}"),
                errors: &ERRORS,
                every: true,
            },
            || {
                std::fs::write(&knob, cap.to_string())?;
                fill(heap, &info)
            },
            |_| os(write(path, value.as_bytes())),
        );
    }
    for (knob, value) in [(knob, cap), (trim_knob, trim)] {
        if let Err(error) = std::fs::write(&knob, value.to_string()) {
            sweep.failed(name, &error.into());
        }
    }
}

/// Has the pool hold something. A contiguous heap does so as long as there is a buffer.
fn fill(heap: &Heap, info: &HeapInfo) -> Result<Buffer, Failure> {
    let living = buffer(heap, 1)?;
    drop(buffer(heap, MIXED)?);
    match info.attribute("pool_held") {
        Some(held) if held > 0 => Ok(living),
        held => fail(format!("a buffer was closed, but pool_held is {held:?}")),
    }
}
