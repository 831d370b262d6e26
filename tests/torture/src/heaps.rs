// SPDX-License-Identifier: GPL-2.0

//! The heaps under test, and what the kernel says of them.

use anyhow::bail;
use dma_heap::HeapInfo;
use dma_heap::importer::DeviceSettings;
use dmaheap_tap::Tap;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

/// How long the memory of a process that has ended may be on its way back.
const SETTLE: Duration = Duration::from_secs(30);

/// The heaps of these names, or all of the module rust_dma_heap.
pub(crate) fn chosen(names: &[String]) -> anyhow::Result<Vec<String>> {
    let heaps: Vec<_> = dma_heap::heaps()?
        .into_iter()
        .filter(|heap| heap.is_ours() && (names.is_empty() || names.contains(&heap.name)))
        .map(|heap| heap.name)
        .collect();
    if heaps.is_empty() || heaps.len() < names.len() {
        bail!(
            "the module rust_dma_heap has no such heap: load it with `modprobe rust_dma_heap`; \
             `dmaheap list` shows the heaps"
        );
    }
    Ok(heaps)
}

/// A number that a heap shows in sysfs.
pub(crate) fn attribute(heap: &str, name: &str) -> Option<u64> {
    HeapInfo::of(heap).ok()?.attribute(name)
}

/// What root may write of a heap.
pub(crate) const KNOBS: [&str; 5] = [
    "limit",
    "user_limit",
    "keep_mappings",
    "pool_cap",
    "pool_trim_ms",
];

/// The knobs of the heaps, and their values.
pub(crate) struct Knobs(Vec<(PathBuf, String)>);

impl Knobs {
    pub(crate) fn of(heaps: &[String]) -> anyhow::Result<Self> {
        let mut knobs = Vec::new();
        for heap in heaps {
            let Some(dir) = HeapInfo::of(heap)?.sysfs else {
                continue;
            };
            for name in KNOBS {
                let path = dir.join(name);
                knobs.push((path.clone(), std::fs::read_to_string(path)?));
            }
        }
        Ok(Self(knobs))
    }

    /// Writes the values again.
    pub(crate) fn restore(&self) -> std::io::Result<()> {
        self.0
            .iter()
            .try_for_each(|(path, value)| std::fs::write(path, value.trim()))
    }
}

/// A number that a heap shows in debugfs.
pub(crate) fn counter(heap: &str, name: &str) -> Option<u64> {
    std::fs::read_to_string(format!("/sys/kernel/debug/rust_dma_heap/{heap}/{name}"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Users of the module.
pub(crate) fn users() -> Option<u64> {
    std::fs::read_to_string(format!("/sys/module/{}/refcnt", dma_heap::MODULE_NAME))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Waits until `done`, for a while; returns whether it is.
pub(crate) fn settles(done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > SETTLE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Nobody uses the heaps any more: no buffer is left, nor anything that holds
/// the module.
pub(crate) fn expect_idle(report: &mut Tap, heaps: &[String]) {
    for heap in heaps {
        report.expect(
            settles(|| attribute(heap, "used") == Some(0)),
            &format!("{heap}: no buffer is left"),
            &format!("used is {:?}", attribute(heap, "used")),
        );
    }
    report.expect(
        settles(|| users() == Some(0)),
        "nobody uses the module",
        &format!("it has {:?} users", users()),
    );
}

/// A device that reaches everything, and says so: one that says nothing of its
/// segments is taken for one of 64 KiB by the checks of the DMA API.
pub(crate) fn device() -> DeviceSettings {
    DeviceSettings {
        max_segment_size: u32::MAX,
        ..DeviceSettings::default()
    }
}

/// What the kernel says of the threads of a process that does not end.
pub(crate) fn where_it_hangs(process: u32) -> String {
    let mut text = String::new();
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return text;
    };
    for task in tasks.flatten() {
        for file in ["status", "wchan", "syscall", "stack"] {
            let read = std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let lines = read
                .lines()
                .filter(|line| file != "status" || line.starts_with("State"));
            for line in lines {
                text.push_str(&format!("  {file}: {line}\n"));
            }
        }
    }
    text
}
