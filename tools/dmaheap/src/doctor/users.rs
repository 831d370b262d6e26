// SPDX-License-Identifier: GPL-2.0

//! Which processes have a heap open or hold a buffer, as tools/machine/unload
//! finds them.

use super::system::System;

/// Each as `PID NAME`, as far as the caller may look.
pub(super) fn of_heaps(system: &System) -> Vec<String> {
    let mut pids: Vec<u32> = system
        .names("/proc")
        .iter()
        .filter_map(|name| name.parse().ok())
        .filter(|pid| has_one(system, *pid))
        .collect();
    pids.sort_unstable();
    pids.into_iter()
        .map(|pid| {
            let name = system.text(&format!("/proc/{pid}/comm"));
            format!("{pid} {}", name.unwrap_or_default())
        })
        .collect()
}

fn has_one(system: &System, pid: u32) -> bool {
    let folder = format!("/proc/{pid}/fd");
    system.names(&folder).iter().any(|fd| {
        system
            .link(&format!("{folder}/{fd}"))
            .is_some_and(|to| to.starts_with("/dev/dma_heap/") || to.starts_with("/dmabuf:"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    #[test]
    fn heaps_and_buffers_count() -> std::io::Result<()> {
        let tree = Tree::new()?;
        for (pid, to) in [
            ("20", "/dmabuf:frame"),
            ("3", "/dev/dma_heap/linux,cma"),
            ("4", "/dev/null"),
            ("self", "/dmabuf:"),
        ] {
            tree.write(&format!("proc/{pid}/comm"), "cam\n")?;
            tree.link(&format!("proc/{pid}/fd/1"), to)?;
        }
        assert_eq!(of_heaps(&tree.system()), ["3 cam", "20 cam"]);
        Ok(())
    }
}
