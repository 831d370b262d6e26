// SPDX-License-Identifier: GPL-2.0

//! Contiguous areas, from which the CMA heap takes its memory.

use super::kernel::Kernel;
use super::report::Finding;
use super::report::Topic;
use super::system::System;
use crate::quantity::format_size_short;
use procfs_core::KernelCmdline;
use procfs_core::Meminfo;

const AREAS: &str = "/sys/kernel/mm/cma";

pub(super) fn findings(system: &System, kernel: &Kernel) -> Vec<Finding> {
    let areas: Vec<Finding> = system
        .names(AREAS)
        .iter()
        .filter_map(|name| area(system, name))
        .collect();
    if !areas.is_empty() {
        return areas;
    }
    // A kernel without CONFIG_CMA_SYSFS tells the sum of all.
    let memory: Option<Meminfo> = system.parsed("/proc/meminfo");
    let sum = memory.and_then(|it| Some((it.cma_total?, it.cma_free?)));
    vec![match sum {
        Some((total @ 1.., free)) => Finding::ok(
            Topic::Areas,
            format!(
                "contiguous areas: {}, {} free (CmaTotal, CmaFree)",
                format_size_short(total),
                format_size_short(free)
            ),
        ),
        _ => none(system, kernel),
    }]
}

fn area(system: &System, name: &str) -> Option<Finding> {
    // Lossless: usize is at most 64 bits wide on every Linux.
    let page = dma_heap::page_size() as u64;
    let bytes = |file: &str| {
        let pages = system.number(&format!("{AREAS}/{name}/{file}"))?;
        Some(format_size_short(pages.saturating_mul(page)))
    };
    let mut text = format!("contiguous area {name}: {}", bytes("total_pages")?);
    if let Some(free) = bytes("available_pages") {
        text += &format!(", {free} free");
    }
    Some(Finding::ok(Topic::Areas, text))
}

fn none(system: &System, kernel: &Kernel) -> Finding {
    if kernel
        .option("CONFIG_DMA_CMA")
        .is_some_and(|value| value != "y")
    {
        return Finding::note(
            Topic::Areas,
            "no contiguous area: the kernel is built without CONFIG_DMA_CMA; use the heap system",
        );
    }
    let line: Option<KernelCmdline> = system.parsed("/proc/cmdline");
    let asked = line.and_then(|line| {
        let mut words = line.0.into_iter().map(|word| word.trim().to_owned());
        words.rfind(|word| word.starts_with("cma="))
    });
    if let Some(asked) = asked.filter(|it| it != "cma=0") {
        return Finding::problem(
            Topic::Areas,
            format!("no contiguous area, although the kernel was started with {asked}"),
            "sudo dmesg | grep -i cma",
        );
    }
    Finding::problem(
        Topic::Areas,
        "the kernel has no default contiguous area, so there is no CMA heap: boot with cma=64M or \
         more",
        command_line(system),
    )
}

/// How the kernel gets its command line here.
fn command_line(system: &System) -> &'static str {
    if system.exists("/etc/default/grub") {
        return "sudo mkdir -p /etc/default/grub.d && \
                echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX cma=64M\"' | \
                sudo tee /etc/default/grub.d/cma.cfg && sudo update-grub && sudo reboot";
    }
    if system.exists("/boot/firmware/cmdline.txt") {
        return "sudo sed -i '1s/$/ cma=64M/' /boot/firmware/cmdline.txt && sudo reboot";
    }
    "add cma=64M to the kernel's command line, where the boot loader has it"
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::super::tree::Tree;
    use super::*;
    use crate::doctor::report;

    const AREA: &str = "sys/kernel/mm/cma";

    fn of(tree: &Tree) -> Vec<Finding> {
        let system = tree.system();
        findings(&system, &Kernel::of(&system))
    }

    fn is(tree: &Tree, level: Level, part: &str) -> bool {
        report::is_one(&of(tree), level, part)
    }

    #[test]
    fn areas_and_their_sizes() -> std::io::Result<()> {
        let tree = Tree::new()?;
        let page = dma_heap::page_size();
        let file = format!("{AREA}/reserved/total_pages");
        tree.write(&file, ((64 << 20) / page).to_string())?;
        assert!(is(&tree, Level::Ok, "contiguous area reserved: 64 MiB"));
        let file = format!("{AREA}/reserved/available_pages");
        tree.write(&file, ((1 << 20) / page).to_string())?;
        assert!(is(&tree, Level::Ok, "64 MiB, 1 MiB free"));
        Ok(())
    }

    #[test]
    fn the_sum_is_told_where_areas_are_not() -> std::io::Result<()> {
        let tree = Tree::new()?;
        let memory = |total| {
            let fields = "MemTotal MemFree Buffers Cached SwapCached Active Inactive SwapTotal \
                          SwapFree Dirty Writeback Mapped Slab Committed_AS VmallocTotal \
                          VmallocUsed VmallocChunk CmaFree";
            let zero = fields.split(' ').map(|name| format!("{name}: 0 kB\n"));
            zero.collect::<String>() + &format!("CmaTotal: {total} kB\n")
        };
        tree.write("proc/meminfo", memory(65536))?;
        assert!(is(&tree, Level::Ok, "64 MiB, 0 B free"));
        tree.write("proc/meminfo", memory(0))?;
        assert!(is(&tree, Level::Problem, "cma=64M or more"));
        Ok(())
    }

    #[test]
    fn without_an_area_there_is_a_way_to_one() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.remove(AREA)?;
        assert!(is(&tree, Level::Problem, "boot with cma=64M or more"));
        tree.write("boot/firmware/cmdline.txt", "quiet\n")?;
        let pi = "sudo sed -i '1s/$/ cma=64M/' /boot/firmware/cmdline.txt && sudo reboot";
        assert!(is(&tree, Level::Problem, pi));
        tree.write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"\"\n")?;
        assert!(
            of(&tree)
                .iter()
                .all(|it| it.remedy().contains("update-grub"))
        );
        tree.write("proc/cmdline", "quiet cma=1G\n")?;
        assert!(is(&tree, Level::Problem, "started with cma=1G"));
        tree.write("proc/cmdline", "quiet cma=0\n")?;
        assert!(is(&tree, Level::Problem, "boot with cma=64M or more"));
        tree.write("boot/config-7.3.4", "CONFIG_RUST=y\n")?;
        assert!(is(&tree, Level::Note, "without CONFIG_DMA_CMA"));
        Ok(())
    }
}
