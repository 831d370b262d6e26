// SPDX-License-Identifier: GPL-2.0

//! `dmaheap which`: which heap serves all of some devices.

mod device;
mod verdict;

use crate::Outcome;
use crate::cli::WhichOptions;
use crate::output;
use crate::quantity::format_size;
use device::Device;
use device::Reach;
use dma_heap::AttachedDevice;
use dma_heap::Heap;
use dma_heap::HeapInfo;
use serde::Serialize;
use std::fs;
use verdict::Verdict;

/// A heap and what it is for the devices.
#[derive(Debug, Serialize)]
struct Choice {
    heap: String,
    #[serde(skip)]
    is_contiguous: bool,
    /// The worst of them.
    #[serde(flatten)]
    verdict: Verdict,
    /// Because of which device.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
}

/// The whole answer as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    devices: &'a [Device],
    heaps: &'a [Choice],
}

/// Looks at the devices, and says which heaps serve them.
pub(crate) fn run(options: &WhichOptions) -> anyhow::Result<Outcome> {
    let heaps = dma_heap::heaps()?;
    let seen = seen_devices(&heaps);
    let devices = options
        .devices
        .iter()
        .map(|asked| Device::find(asked, &seen))
        .collect::<anyhow::Result<Vec<Device>>>()?;
    let memory_end = memory_end();
    let mut choices: Vec<Choice> = heaps
        .iter()
        .map(|heap| choice(heap, &devices, memory_end))
        .collect();
    // The best first; of those that are as good, one that takes no contiguous memory away.
    choices.sort_by(|a, b| {
        let key = |it: &Choice| (it.is_contiguous, it.heap.clone());
        a.verdict.cmp(&b.verdict).then_with(|| key(a).cmp(&key(b)))
    });
    if options.json {
        output::print_json(&Document {
            devices: &devices,
            heaps: &choices,
        })?;
    } else {
        print(&devices, &choices)?;
    }
    if heaps.is_empty() {
        return Ok(Outcome::NoHeap);
    }
    Ok(Outcome::Good)
}

fn choice(heap: &HeapInfo, devices: &[Device], memory_end: Option<u64>) -> Choice {
    // Of the kernel's own heaps only the names say so, by its rules for them.
    let contiguous = match &heap.attributes {
        Some(attributes) => attributes.contiguous,
        None => Some(heap.name != "system"),
    };
    let worst = devices
        .iter()
        .map(|device| (Verdict::of(device, contiguous, memory_end), device))
        .max_by(|(a, _), (b, _)| a.cmp(b));
    let (verdict, device) = match worst {
        Some((verdict, device)) if verdict != Verdict::Yes => (verdict, Some(device.asked.clone())),
        _ => (Verdict::Yes, None),
    };
    Choice {
        heap: heap.name.clone(),
        is_contiguous: contiguous != Some(false),
        verdict,
        device,
    }
}

/// What our module knows of devices, if it is there and the caller may ask.
fn seen_devices(heaps: &[HeapInfo]) -> Vec<AttachedDevice> {
    heaps
        .iter()
        .filter(|heap| heap.is_ours())
        .find_map(|heap| Heap::open(&heap.name).ok()?.devices().ok())
        .unwrap_or_default()
}

/// Where the machine's memory ends, from /proc/zoneinfo, which everyone may read.
fn memory_end() -> Option<u64> {
    let text = fs::read_to_string("/proc/zoneinfo").ok()?;
    end_of_zones(&text)
}

fn end_of_zones(text: &str) -> Option<u64> {
    let page = dma_heap::page_size() as u64;
    let mut spanned = 0;
    let mut end = None;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("spanned"), Some(pages)) => spanned = pages.parse().ok()?,
            (Some("start_pfn:"), Some(first)) => {
                let first: u64 = first.parse().ok()?;
                if spanned > 0 {
                    end = end.max(Some((first + spanned) * page));
                }
            }
            _ => {}
        }
    }
    end
}

fn print(devices: &[Device], choices: &[Choice]) -> anyhow::Result<()> {
    let mut table = output::table(&["DEVICE", "NAME", "DRIVER", "ADDRESSES", "IOMMU", "RANGE"]);
    for device in devices {
        table.add_row([
            device.asked.clone(),
            device.name.clone(),
            device.driver.clone().unwrap_or_else(|| "-".into()),
            match device.reach {
                Reach::None => "no DMA".to_owned(),
                Reach::UpTo(u64::MAX) => "any".to_owned(),
                Reach::UpTo(last) => format!("up to {last:#x}"),
                Reach::Unknown => "unknown".to_owned(),
            },
            device.iommu.clone().unwrap_or_else(|| "none".into()),
            match (device.max_segment, device.was_seen) {
                (Some(bytes), _) => format!("up to {}", format_size(bytes)),
                (None, true) => "any".to_owned(),
                (None, false) => "unknown: attach once".to_owned(),
            },
        ]);
    }
    output::print_table(&table)?;
    output::print_text("\n")?;
    let mut table = output::table(&["HEAP", "SERVES THEM", "WHAT IS IN DOUBT"]);
    for choice in choices {
        let (answer, why) = match &choice.verdict {
            Verdict::Yes => ("yes", String::new()),
            Verdict::Perhaps(why) => ("perhaps", why.clone()),
        };
        let why = match &choice.device {
            Some(device) => format!("{device}: {why}"),
            None => "-".to_owned(),
        };
        table.add_row([choice.heap.clone(), answer.to_owned(), why]);
    }
    output::print_table(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_ends_with_the_last_zone_that_has_any() {
        let text = "Node 0, zone DMA\n        spanned  4095\n        start_pfn:           1\n\
                    Node 0, zone Normal\n        spanned  524288\n        start_pfn:  1048576\n\
                    Node 0, zone Movable\n        spanned  0\n        start_pfn:  0\n";
        let page = dma_heap::page_size() as u64;
        assert_eq!(end_of_zones(text), Some((1_048_576 + 524_288) * page));
        assert_eq!(end_of_zones(""), None);
    }
}
