// SPDX-License-Identifier: GPL-2.0

//! What happens around those who use the heaps: processors and memory leave and
//! come back, knobs are turned, caches dropped.

use crate::heaps;
use dma_heap::HeapInfo;
use dma_heap::rng::Rng;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What the trouble has come to, and when it ends.
#[derive(Default)]
pub(super) struct Trouble {
    stop: AtomicBool,
    pub(super) processors: AtomicU64,
    pub(super) memory: AtomicU64,
    pub(super) memory_refused: AtomicU64,
    pub(super) knobs: AtomicU64,
    pub(super) caches: AtomicU64,
    findings: Mutex<Vec<String>>,
}

impl Trouble {
    pub(super) fn end(&self) {
        self.stop.store(true, Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Relaxed)
    }

    /// Sleeps, but not beyond the end.
    fn pause(&self, milliseconds: usize) {
        for _ in 0..milliseconds.div_ceil(20) {
            if self.goes_on() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn found(&self, what: String) {
        if let Ok(mut findings) = self.findings.lock() {
            findings.push(what);
        }
    }

    pub(super) fn findings(&self) -> Vec<String> {
        self.findings.lock().map_or_else(
            |_| vec!["a thread has panicked".into()],
            |list| list.clone(),
        )
    }
}

/// Files of a directory in sysfs, by the beginning of their names.
fn entries(dir: &str, prefix: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// Processors that may leave.
pub(super) fn processors() -> Vec<PathBuf> {
    entries("/sys/devices/system/cpu", "cpu")
        .into_iter()
        .map(|cpu| cpu.join("online"))
        .filter(|online| online.exists())
        .collect()
}

pub(super) fn move_processors(trouble: &Trouble, mut rng: Rng) {
    let processors = processors();
    while trouble.goes_on() && !processors.is_empty() {
        let Some(cpu) = processors.get(rng.below(0..processors.len())) else {
            return;
        };
        for state in ["0", "1"] {
            match std::fs::write(cpu, state) {
                Ok(()) => {}
                Err(error) => trouble.found(format!("{} = {state}: {error}", cpu.display())),
            }
            if state == "0" {
                trouble.pause(rng.below(50..700));
            }
        }
        trouble.processors.fetch_add(1, Relaxed);
        trouble.pause(rng.below(200..1500));
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Blocks of memory that may leave: what is in them can be moved away.
pub(super) fn memory() -> Vec<PathBuf> {
    entries("/sys/devices/system/memory", "memory")
        .into_iter()
        .filter(|block| {
            read(&block.join("state")).trim() == "online"
                && read(&block.join("valid_zones")).starts_with("Movable")
        })
        .collect()
}

pub(super) fn move_memory(trouble: &Trouble, mut rng: Rng) {
    let blocks = memory();
    while trouble.goes_on() && !blocks.is_empty() {
        let Some(block) = blocks.get(rng.below(0..blocks.len())) else {
            return;
        };
        let state = block.join("state");
        match std::fs::write(&state, "offline") {
            Ok(()) => {
                trouble.memory.fetch_add(1, Relaxed);
                trouble.pause(rng.below(50..500));
                if let Err(error) = std::fs::write(&state, "online_movable") {
                    trouble.found(format!("{} does not come back: {error}", block.display()));
                }
            }
            // What is in it has nowhere to go just now.
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                trouble.memory_refused.fetch_add(1, Relaxed);
            }
            Err(error) => trouble.found(format!("{} cannot leave: {error}", block.display())),
        }
        trouble.pause(rng.below(200..1500));
    }
}

/// Turns knobs, and drops caches now and then. The module may go and come in the
/// meantime, and its device numbers change.
pub(super) fn turn_knobs(trouble: &Trouble, names: &[String], mut rng: Rng) {
    while trouble.goes_on() {
        trouble.pause(rng.below(20..400));
        if rng.below(0..16) == 0 {
            let what = rng.pick(&["1", "2", "3"]).unwrap_or("2");
            match std::fs::write("/proc/sys/vm/drop_caches", what) {
                Ok(()) => drop(trouble.caches.fetch_add(1, Relaxed)),
                Err(error) => trouble.found(format!("drop_caches: {error}")),
            }
        }
        let name = names.get(rng.below(0..names.len()));
        let Some(heap) = name.and_then(|name| HeapInfo::of(name).ok()) else {
            continue;
        };
        let Some(dir) = heap.sysfs else {
            continue;
        };
        let cap = rng.pick(&[0, 4 << 20, 32 << 20, 128 << 20]).unwrap_or(0);
        let trim = rng.pick(&[0, 1, 20, 300, 5000]).unwrap_or(300);
        let (knob, value) = match rng.below(0..8) {
            0..3 => ("pool_cap", cap),
            3..6 => ("pool_trim_ms", trim),
            6 => ("keep_mappings", rng.below(0..2) as u64),
            _ => ("limit", 8 << 20),
        };
        let path = dir.join(knob);
        let before = read(&path);
        let mut written = std::fs::write(&path, value.to_string());
        if knob == "limit" && written.is_ok() {
            trouble.pause(50);
            written = std::fs::write(&path, before.trim());
        }
        match written {
            Ok(()) => drop(trouble.knobs.fetch_add(1, Relaxed)),
            // The module has just gone.
            Err(_) if heaps::attribute(&heap.name, "used").is_none() => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            Err(error) => trouble.found(format!("{}: {error}", path.display())),
        }
    }
}
