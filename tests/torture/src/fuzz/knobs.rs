// SPDX-License-Identifier: GPL-2.0

//! Operations on what sysfs and debugfs show of a heap.

use super::kinds::Outcome;
use super::worker::Worker;
use crate::heaps::KNOBS;
use dma_heap::Errno;
use dma_heap::rng::Rng;

const ATTRIBUTES: [&str; 9] = [
    "contiguous",
    "cacheable",
    "limit",
    "user_limit",
    "used",
    "keep_mappings",
    "pool_cap",
    "pool_held",
    "pool_trim_ms",
];

fn outcome(result: std::io::Result<()>) -> Result<(), Errno> {
    result.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

pub(super) fn turn(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    let name = rng.pick(&KNOBS).unwrap_or("limit");
    let value = match name {
        "keep_mappings" => rng.below(0..2) as u64,
        "pool_trim_ms" => rng.pick(&[0, 1, 10, 100, 500, 5000]).unwrap_or(500),
        "pool_cap" => {
            let caps = [0, 4096, 1 << 20, 16 << 20, 128 << 20, 128 << 20];
            rng.pick(&caps).unwrap_or(0)
        }
        // Too little for most.
        _ => rng.pick(&[0, 4096, 1 << 20, 8 << 20]).unwrap_or(0),
    };
    let path = node.sysfs.join(name);
    let mut written = std::fs::write(&path, value.to_string());
    if matches!(name, "limit" | "user_limit") {
        // Not for long. Half of the memory, as it is by default.
        let half = rustix::system::sysinfo().totalram / 2;
        written = written.and(std::fs::write(&path, half.to_string()));
    }
    outcome(written).into()
}

pub(super) fn turn_wrongly(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    let name = rng.pick(&KNOBS).unwrap_or("limit");
    let text = [
        "",
        "x",
        "-1",
        "1.5",
        "99999999999999999999",
        "0x",
        "1 2",
        "\n",
    ];
    let text = match name {
        "keep_mappings" => rng.pick(&["2", "-1", "99999999999", "x"]),
        _ => rng.pick(&text),
    };
    let text = text.unwrap_or("x");
    // An empty write does not reach the attribute.
    if text.is_empty() {
        return outcome(std::fs::write(node.sysfs.join(name), text)).into();
    }
    let written = outcome(std::fs::write(node.sysfs.join(name), text));
    Outcome::refusal(written, &[Errno::INVAL, Errno::RANGE])
}

pub(super) fn read(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    let name = rng.pick(&ATTRIBUTES).unwrap_or("used");
    match std::fs::read_to_string(node.sysfs.join(name)) {
        Ok(text) if text.trim().parse::<u64>().is_ok() => Outcome::Done,
        Ok(text) => Outcome::wrong(format!("{name} is {text:?}")),
        Err(error) => Outcome::wrong(format!("{name}: {error}")),
    }
}

pub(super) fn count(worker: &mut Worker, rng: &mut Rng) -> Outcome {
    let Some(node) = worker.node(rng) else {
        return Outcome::wrong("no heap");
    };
    let names = [
        "hits",
        "misses",
        "pool_held",
        "pool_dirty",
        "trimmed",
        "mappings",
        "allocations",
    ];
    let name = rng.pick(&names).unwrap_or("hits");
    match std::fs::read_to_string(node.debugfs.join(name)) {
        Ok(text) if text.trim().parse::<u64>().is_ok() => Outcome::Done,
        Ok(text) => Outcome::wrong(format!("{name} is {text:?}")),
        Err(error) => Outcome::wrong(format!("{name}: {error}")),
    }
}

pub(super) fn drop_caches(_: &mut Worker, rng: &mut Rng) -> Outcome {
    let what = rng.pick(&["2", "3"]).unwrap_or("2");
    outcome(std::fs::write("/proc/sys/vm/drop_caches", what)).into()
}

pub(super) fn compact(_: &mut Worker, _: &mut Rng) -> Outcome {
    outcome(std::fs::write("/proc/sys/vm/compact_memory", "1")).into()
}
