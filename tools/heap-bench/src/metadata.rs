// SPDX-License-Identifier: GPL-2.0

//! Kernel memory that a buffer takes beside its own.
//!
//! Counted are the objects in slab caches, memory from kmalloc() that is too
//! large for those, and vmalloc(). A cache keeps free objects for the next
//! user, and they look like those in use until it is shrunk. To shrink all of
//! them takes a while, so this is done once, to find those that buffers take
//! objects from.

use super::meminfo::Meminfo;
use super::plan::Rounds;
use super::stats::median;
use super::workers::Pools;
use anyhow::Context as _;
use dma_heap::Buffer;
use dma_heap::Heap;
use dma_heap::importer::Importer;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A directory a cache.
const SLABS: &str = "/sys/kernel/slab";

/// Longer than a grace period of RCU.
const GRACE: Duration = Duration::from_millis(200);

/// Counts for each cache, by name.
#[derive(Debug, Default)]
struct Slabs {
    /// Objects in use and the bytes of one.
    objects: BTreeMap<String, (u64, u64)>,
    /// Pages of all slabs.
    pages: u64,
}

impl Slabs {
    /// Reads what is in use. Shrinks `caches` before, and those only have exact
    /// counts.
    fn read(caches: &[String]) -> anyhow::Result<Self> {
        for name in caches {
            let file = Path::new(SLABS).join(name).join("shrink");
            fs::write(&file, "1").with_context(|| format!("cannot write {}", file.display()))?;
        }
        fs::read_to_string("/proc/slabinfo")
            .map(|text| Self::parse(&text))
            .context("cannot read /proc/slabinfo (needs CONFIG_SLUB_DEBUG and root)")
    }

    /// The names of all caches.
    fn names() -> anyhow::Result<Vec<String>> {
        let slabs = Self::read(&[])?;
        let mut names: Vec<String> = slabs.objects.into_keys().collect();
        names.retain(|name| Path::new(SLABS).join(name).is_dir());
        Ok(names)
    }

    fn parse(text: &str) -> Self {
        let mut slabs = Self::default();
        for line in text.lines() {
            // name active_objs num_objs objsize objperslab pagesperslab :
            // tunables limit batchcount sharedfactor : slabdata active_slabs
            // num_slabs sharedavail
            let fields: Vec<&str> = line.split_whitespace().collect();
            let field = |index: usize| fields.get(index)?.parse::<u64>().ok();
            if let (Some(name), Some(active), Some(size), Some(each), Some(number)) =
                (fields.first(), field(1), field(3), field(5), field(14))
            {
                slabs.objects.insert((*name).to_owned(), (active, size));
                slabs.pages += number * each;
            }
        }
        slabs
    }

    /// Caches of which at least `least` more objects are in use than `before`.
    fn grown(&self, before: &Self, least: u64) -> Vec<String> {
        let number = |slabs: &Self, name| slabs.objects.get(name).map_or(0, |(active, _)| *active);
        self.objects
            .keys()
            .filter(|name| number(self, *name) >= number(before, *name) + least)
            .cloned()
            .collect()
    }

    /// Bytes for each of `buffers` since `before`, in these caches. A buffer
    /// takes a whole number of objects from each, so what others have taken or
    /// given back meanwhile is rounded away.
    fn bytes_since(&self, before: &Self, caches: &[String], buffers: u64) -> u64 {
        let each = |name| {
            let (now, size) = self.objects.get(name)?;
            let (then, _) = before.objects.get(name)?;
            let more = now.saturating_sub(*then);
            Some((more + buffers / 2) / buffers.max(1) * size)
        };
        caches.iter().filter_map(each).sum()
    }
}

/// Kernel memory in use at some moment.
struct InUse {
    slabs: Slabs,
    /// Bytes in large pieces of kmalloc() and in vmalloc().
    rest: u64,
}

impl InUse {
    fn read(caches: &[String]) -> anyhow::Result<Self> {
        let slabs = Slabs::read(caches)?;
        // Adds up what each processor has counted for itself.
        fs::read("/proc/sys/vm/stat_refresh").context("cannot read /proc/sys/vm/stat_refresh")?;
        let meminfo = Meminfo::read()?;
        // Large pieces of kmalloc() are slab memory that is in no cache.
        let large = meminfo
            .bytes("Slab")?
            .saturating_sub(slabs.pages * dma_heap::page_size() as u64);
        Ok(Self {
            slabs,
            rest: large + meminfo.bytes("VmallocUsed")?,
        })
    }
}

/// Counts for a heap.
pub(crate) struct Counter<'a> {
    pub(crate) importer: &'a Importer,
    pub(crate) pools: &'a Pools,
    pub(crate) heap: &'a Heap,
    /// Bytes of a buffer.
    pub(crate) size: u64,
    /// How many are held at once.
    pub(crate) buffers: usize,
}

impl Counter<'_> {
    /// Bytes for a buffer with an attachment: the median of all counts.
    pub(crate) fn count(&self, rounds: Rounds) -> anyhow::Result<Option<u64>> {
        let buffers = self.buffers.max(1) as u64;
        let all = Slabs::names()?;
        let mut caches = Vec::new();
        // In the first round, what others have left may hide a cache.
        for _ in 0..rounds.searches {
            let (before, after) = self.around(|| Slabs::read(&all))?;
            caches.extend(after.grown(&before, buffers.div_ceil(2)));
        }
        caches.sort_unstable();
        caches.dedup();
        let mut counts = Vec::with_capacity(rounds.counts);
        for _ in 0..rounds.counts {
            let (before, after) = self.around(|| InUse::read(&caches))?;
            let objects = after.slabs.bytes_since(&before.slabs, &caches, buffers);
            counts.push(objects + after.rest.saturating_sub(before.rest) / buffers);
        }
        Ok(median(&counts))
    }

    /// What `look` sees before the buffers are there, and while they are.
    fn around<T>(&self, look: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<(T, T)> {
        self.pools.settle()?;
        // Files that were closed just now are freed after a grace period.
        std::thread::sleep(GRACE);
        let mut held: Vec<Buffer> = Vec::with_capacity(self.buffers);
        let mut attached = Vec::with_capacity(self.buffers);
        let before = look()?;
        for _ in 0..self.buffers {
            let buffer = self.heap.alloc(self.size)?;
            attached.push(self.importer.attach(&buffer)?);
            held.push(buffer);
        }
        self.pools.settle()?;
        let after = look()?;
        for attachment in attached {
            attachment.release()?;
        }
        Ok((before, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>
kmalloc-64   10  64     64   64    1 : tunables    0    0    0 : slabdata      1      1      0
dentry        3  42    192   21    2 : tunables    0    0    0 : slabdata      2      3      0
";

    #[test]
    fn caches_are_read() {
        let slabs = Slabs::parse(BEFORE);
        assert_eq!(slabs.pages, 1 + 6);
        assert_eq!(slabs.objects.get("dentry"), Some(&(3, 192)));
    }

    #[test]
    fn objects_are_counted_whole() {
        let before = Slabs::parse(BEFORE);
        let after = Slabs::parse(&BEFORE.replace("  10  64", "  20  64"));
        let caches = ["kmalloc-64".to_owned(), "dentry".into(), "gone".into()];
        assert_eq!(after.bytes_since(&before, &caches, 4), 3 * 64);
        assert_eq!(after.bytes_since(&before, &caches, 5), 2 * 64);
        assert_eq!(before.bytes_since(&after, &caches, 5), 0);
    }

    #[test]
    fn caches_that_grow_are_found() {
        let before = Slabs::parse(BEFORE);
        let after = Slabs::parse(&BEFORE.replace("  10  64", "  17  64"));
        assert_eq!(after.grown(&before, 7), ["kmalloc-64"]);
        assert!(after.grown(&before, 8).is_empty());
    }
}
