// SPDX-License-Identifier: GPL-2.0

//! What a call that failed may have left behind: buffers, descriptors,
//! references to the module, pages.

use crate::failure::Failure;
use crate::failure::at;
use crate::failure::fail;
use dma_heap::HeapInfo;
use dma_heap::MODULE_NAME;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

/// How long the last effects of a call may take: files are closed, and memory
/// of read-copy-update freed, soon after it.
const SETTLE: Duration = Duration::from_secs(5);

/// What is there while nothing is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Bytes of living buffers, for each heap.
    used: Vec<(String, Option<u64>)>,
    /// Descriptors of this process.
    descriptors: usize,
    /// References to the module.
    references: Option<u64>,
    /// Every place where a module could leave something, while it is not
    /// loaded.
    traces: Vec<String>,
}

/// Folders in which a module may leave something, and lists of device numbers.
const FOLDERS: [&str; 6] = [
    "/sys/class",
    "/sys/module",
    "/sys/devices/virtual",
    "/sys/kernel/debug",
    "/dev",
    "/dev/dma_heap",
];
const LISTS: [&str; 2] = ["/proc/devices", "/proc/misc"];

fn traces() -> Vec<String> {
    let mut traces = Vec::new();
    for folder in FOLDERS {
        // One that is not there is empty.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            traces.push(entry.path().display().to_string());
        }
    }
    for list in LISTS {
        let text = std::fs::read_to_string(list).unwrap_or_default();
        traces.extend(text.lines().map(|line| format!("{list}: {line}")));
    }
    traces.sort();
    traces
}

impl State {
    /// What there is now.
    pub(crate) fn now(heaps: &[HeapInfo]) -> Result<Self, Failure> {
        let references = std::fs::read_to_string(format!("/sys/module/{MODULE_NAME}/refcnt"));
        Ok(Self {
            used: heaps
                .iter()
                .map(|heap| (heap.name.clone(), heap.attribute("used")))
                .collect(),
            descriptors: at("/proc/self/fd", std::fs::read_dir("/proc/self/fd"))?.count(),
            references: references.ok().and_then(|text| text.trim().parse().ok()),
            traces: if heaps.is_empty() {
                traces()
            } else {
                Vec::new()
            },
        })
    }

    fn difference(&self, now: &Self) -> String {
        let new = now.traces.iter().filter(|line| !self.traces.contains(line));
        let gone = self.traces.iter().filter(|line| !now.traces.contains(line));
        format!(
            "used {:?} instead of {:?}, {} descriptors instead of {}, {:?} references to the module \
             instead of {:?}; new are {:?}, gone are {:?}",
            now.used,
            self.used,
            now.descriptors,
            self.descriptors,
            now.references,
            self.references,
            new.collect::<Vec<_>>(),
            gone.collect::<Vec<_>>()
        )
    }

    /// Waits until everything is again as it is here.
    pub(crate) fn expect(&self, heaps: &[HeapInfo]) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            let now = Self::now(heaps)?;
            if now == *self {
                return Ok(());
            }
            if start.elapsed() > SETTLE {
                return fail(format!("something is left: {}", self.difference(&now)));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Pages that the module has got and not given back, but for those of slab and
/// page tables, which are not its to give back. `None` without page_owner.
pub(crate) fn pages(module: &str) -> Result<Option<u64>, Failure> {
    const STACKS: &str = "/sys/kernel/debug/page_owner_stacks/show_stacks";
    if !Path::new(STACKS).exists() {
        return Ok(None);
    }
    Ok(Some(pages_in(
        &at(STACKS, std::fs::read_to_string(STACKS))?,
        module,
    )))
}

/// Functions that get pages for somebody else than their callers.
const OTHERS: [&str; 9] = [
    "allocate_slab",
    "new_slab",
    "___slab_alloc",
    "stack_depot_save_flags",
    "kasan_populate_vmalloc",
    "pte_alloc_one",
    "__pmd_alloc",
    "__pud_alloc",
    "__pte_alloc_kernel",
];

fn pages_in(stacks: &str, module: &str) -> u64 {
    let ours = format!("[{module}]");
    stacks
        .split("\n\n")
        .filter(|stack| {
            stack.contains(&ours)
                && !OTHERS
                    .iter()
                    .any(|name| stack.contains(&format!(" {name}+")))
        })
        .filter_map(|stack| {
            let (_, number) = stack.split_once("nr_base_pages:")?;
            number.trim().parse::<u64>().ok()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_module_are_counted() {
        let stacks = " get_page+0x1/0x2\n alloc+0x1/0x2 [ours]\nnr_base_pages: 512\n\n \
                      new_slab+0x1/0x2\n f+0x1/0x2 [ours]\nnr_base_pages: 8\n\n \
                      get_page+0x1/0x2\nnr_base_pages: 3\n\n \
                      get_page+0x1/0x2\n g+0x3/0x4 [ours]\nnr_base_pages: 1\n\n";
        assert_eq!(pages_in(stacks, "ours"), 513);
        assert_eq!(pages_in("", "ours"), 0);
    }
}
