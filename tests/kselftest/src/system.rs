// SPDX-License-Identifier: GPL-2.0

//! What the kernel says of itself: counters, memory, open files.

use crate::outcome::Failure;
use crate::outcome::fail;
use dma_heap::Errno;

/// Whether an error means that the caller is not allowed.
pub(crate) fn is_denied(errno: Option<Errno>) -> bool {
    matches!(errno, Some(Errno::ACCESS | Errno::PERM))
}

/// Whether the running kernel, not this program, has 64 bits.
pub(crate) fn kernel_is_64_bit() -> bool {
    let uname = rustix::system::uname();
    let machine = uname.machine().to_string_lossy();
    machine.contains("64") || machine == "s390x"
}

/// Open descriptors of this process. (One more is open while they are counted,
/// every time.)
pub(crate) fn open_files() -> Result<usize, Failure> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

/// A line of /proc/meminfo in bytes.
pub(crate) fn meminfo(name: &str) -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    match parse_meminfo(&text, name) {
        Some(bytes) => Ok(bytes),
        None => fail(format!("/proc/meminfo has no {name}")),
    }
}

fn parse_meminfo(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?.strip_prefix(':')?;
        let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    })
}

/// Bytes that the kernel could have back, but for slabs: they come and go with every
/// file.
pub(crate) fn reclaimable() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    match parse_reclaimable(&text, "") {
        Some(bytes) => Ok(bytes),
        None => fail("/proc/meminfo lacks KReclaimable or SReclaimable"),
    }
}

/// The same of a NUMA node.
pub(crate) fn node_reclaimable(node: u32) -> Result<u64, Failure> {
    let text = std::fs::read_to_string(format!("{NODES}/node{node}/meminfo"))?;
    match parse_reclaimable(&text, &format!("Node {node} ")) {
        Some(bytes) => Ok(bytes),
        None => fail(format!(
            "node {node}'s meminfo lacks KReclaimable or SReclaimable"
        )),
    }
}

/// Each line begins with `prefix`.
fn parse_reclaimable(text: &str, prefix: &str) -> Option<u64> {
    let of = |name| parse_meminfo(text, &format!("{prefix}{name}"));
    of("KReclaimable")?.checked_sub(of("SReclaimable")?)
}

const NODES: &str = "/sys/devices/system/node";

/// NUMA nodes that have memory; none if the kernel knows no nodes.
pub(crate) fn nodes_with_memory() -> Result<Vec<u32>, Failure> {
    match std::fs::read_to_string(format!("{NODES}/has_memory")) {
        Ok(text) => parse_list(&text),
        Err(_) => Ok(Vec::new()),
    }
}

/// The processors of a NUMA node.
pub(crate) fn cpus_of_node(node: u32) -> Result<Vec<usize>, Failure> {
    let text = std::fs::read_to_string(format!("{NODES}/node{node}/cpulist"))?;
    parse_list(&text)?
        .into_iter()
        .map(|cpu| Ok(usize::try_from(cpu)?))
        .collect()
}

/// A list as the kernel writes it: "0-2,5".
fn parse_list(text: &str) -> Result<Vec<u32>, Failure> {
    let mut list = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        list.extend(first.parse::<u32>()?..=last.parse()?);
    }
    Ok(list)
}

/// Free memory in bytes. Pages on the processors' own free lists are free, too,
/// and `MemFree` alone moves by MiBs as they come and go there.
pub(crate) fn free_memory() -> Result<u64, Failure> {
    let zones = std::fs::read_to_string("/proc/zoneinfo")?;
    let on_lists = sum_on_lists(&zones).unwrap_or(0) * dma_heap::page_size() as u64;
    Ok(meminfo("MemFree")? + on_lists)
}

fn sum_on_lists(zones: &str) -> Option<u64> {
    zones
        .lines()
        .filter_map(|line| line.trim().strip_prefix("count:"))
        .filter_map(|count| count.trim().parse().ok())
        .reduce(u64::wrapping_add)
}

/// Page faults of this process that needed no reading.
pub(crate) fn minor_faults() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    match parse_minor_faults(&text) {
        Some(faults) => Ok(faults),
        None => fail("/proc/self/stat has no minor faults"),
    }
}

/// The tenth field. The second is a name in brackets, which may hold anything.
fn parse_minor_faults(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(7)?.parse().ok()
}

/// The sum of all counters of /proc/vmstat whose name `wanted` accepts, `None`
/// if there is none.
fn vmstat(wanted: impl Fn(&str) -> bool) -> Result<Option<u64>, Failure> {
    let text = std::fs::read_to_string("/proc/vmstat")?;
    Ok(sum_vmstat(&text, wanted))
}

fn sum_vmstat(text: &str, wanted: impl Fn(&str) -> bool) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| wanted(name))
        .filter_map(|(_, value)| value.trim().parse::<u64>().ok())
        .reduce(u64::wrapping_add)
}

/// Processes that the OOM killer has killed since boot.
pub(crate) fn oom_kills() -> Result<Option<u64>, Failure> {
    vmstat(|name| name == "oom_kill")
}

/// Pages that have ever been allocated, in all zones.
pub(crate) fn pages_allocated() -> Result<Option<u64>, Failure> {
    vmstat(|name| name.starts_with("pgalloc_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_lines() {
        let text = "MemTotal:        1000 kB\nMemFree:  12 kB\nHugePages_Total:  3\n";
        assert_eq!(parse_meminfo(text, "MemFree"), Some(12 << 10));
        assert_eq!(parse_meminfo(text, "Mem"), None);
        assert_eq!(parse_meminfo(text, "HugePages_Total"), None);
    }

    #[test]
    fn reclaimable_without_slabs() {
        let text = "KReclaimable:    100 kB\nSlab:   90 kB\nSReclaimable:     58 kB\n";
        assert_eq!(parse_reclaimable(text, ""), Some(42 << 10));
        let text = "Node 1 KReclaimable:    2 kB\nNode 1 SReclaimable:     1 kB\n";
        assert_eq!(parse_reclaimable(text, "Node 1 "), Some(1 << 10));
        assert_eq!(parse_reclaimable(text, ""), None);
    }

    #[test]
    fn lists_of_numbers() {
        let list = |text| parse_list(text).ok();
        assert_eq!(list("0-2,5\n"), Some(vec![0, 1, 2, 5]));
        assert_eq!(list("\n"), Some(vec![]));
        assert_eq!(list("x"), None);
    }

    #[test]
    fn pages_on_free_lists() {
        let text = "    cpu: 0\n              count:    4\n              count:    38\n";
        assert_eq!(sum_on_lists(text), Some(42));
        assert_eq!(sum_on_lists("cpu: 0"), None);
    }

    #[test]
    fn faults_behind_a_name() {
        let text = "1 (a b) c) S 2 3 4 5 6 7 42 0";
        assert_eq!(parse_minor_faults(text), Some(42));
        assert_eq!(parse_minor_faults("1 (a) S"), None);
    }

    #[test]
    fn vmstat_sums() {
        let text = "pgalloc_dma 1\npgalloc_normal 41\noom_kill 3\n";
        assert_eq!(sum_vmstat(text, |n| n.starts_with("pgalloc_")), Some(42));
        assert_eq!(sum_vmstat(text, |n| n == "oom_kill"), Some(3));
        assert_eq!(sum_vmstat(text, |n| n == "none"), None);
    }
}
