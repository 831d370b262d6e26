// SPDX-License-Identifier: GPL-2.0

//! Names that programs look for, and whether their nodes are there.

use super::confinement;
use super::nodes;
use super::nodes::Kind;
use super::report::Finding;
use super::report::Topic;
use super::rules;
use super::system::System;
use dma_heap::Registered;
use std::collections::BTreeMap;

pub(super) fn findings(system: &System, heaps: &[Registered]) -> Vec<Finding> {
    let (leads, wrong) = crate::names::leads(system.root(), heaps);
    let mut findings: Vec<Finding> = wrong
        .into_iter()
        .map(|why| Finding::problem(Topic::Names, why, "sudoedit /etc/rust-dma-heap/names"))
        .collect();
    let entries = nodes::entries(system, heaps);
    let mut there: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, heap) in &leads {
        match entries.iter().find(|entry| entry.name == *name) {
            None => missing.entry(heap).or_default().push(name),
            Some(entry) => match &entry.kind {
                Kind::Heap(it) if it.name == *heap => there.entry(heap).or_default().push(name),
                Kind::Heap(it) => findings.push(Finding::note(
                    Topic::Names,
                    format!("{name} leads to {}; somebody else made that node", it.name),
                )),
                // That is told among the nodes.
                _ => {}
            },
        }
    }
    for (heap, names) in there {
        let text = format!("{} lead to {heap}", names.join(" "));
        findings.push(Finding::ok(Topic::Names, text));
    }
    for (heap, names) in missing {
        let names = names.join(" ");
        let (why, remedy) = rules::remedy(system, rules::NAMES);
        findings.push(if confinement::is_container(system) {
            let text = format!("this container was not given {names}, which would lead to {heap}");
            Finding::note(Topic::Names, text)
        } else {
            let text = format!("no nodes {names}, which would lead to {heap}: {why}");
            Finding::problem(Topic::Names, text, remedy)
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::super::tree::Tree;
    use super::*;

    fn of(tree: &Tree) -> Vec<Finding> {
        findings(&tree.system(), &dma_heap::registered_below(tree.path()))
    }

    fn with_heap() -> std::io::Result<Tree> {
        let tree = Tree::with_heaps()?;
        let heap = "sys/class/dma_heap/default_cma_region";
        tree.write(&format!("{heap}/dev"), "250:0\n")?;
        tree.write(&format!("{heap}/contiguous"), "1\n")?;
        tree.write(&format!("{heap}/cacheable"), "1\n")?;
        Ok(tree)
    }

    #[test]
    fn nodes_come_by_the_rules() -> std::io::Result<()> {
        let tree = with_heap()?;
        let found = of(&tree);
        let first = found.first().ok_or(std::io::ErrorKind::NotFound)?;
        assert!(first.is(Level::Problem), "{first:?}");
        assert!(first.text().starts_with("no nodes linux,cma reserved "));
        assert!(first.text().contains("rules are not installed"));
        assert!(first.remedy().contains("tools/udev/*.rules"));
        tree.write(".dockerenv", "")?;
        assert!(of(&tree).iter().all(|it| it.is(Level::Note)));
        Ok(())
    }

    #[test]
    fn the_board_has_names_of_its_own() -> std::io::Result<()> {
        let tree = with_heap()?;
        let said = |tree: &Tree| of(tree).iter().any(|it| it.text().contains(" cma "));
        assert!(!said(&tree));
        tree.write(
            "proc/device-tree/compatible",
            b"radxa,rock\0rockchip,rk3588\0",
        )?;
        tree.write(
            "etc/rust-dma-heap/names",
            "* cma default_cma_region\nnonsense\n",
        )?;
        let found = of(&tree);
        assert!(found.iter().any(|it| it.text().contains("names:2: ")
            && it.is(Level::Problem)
            && it.remedy() == "sudoedit /etc/rust-dma-heap/names"));
        assert!(found.iter().any(|it| it.text().contains(" cma")));
        Ok(())
    }

    #[test]
    fn without_heaps_no_name_leads_anywhere() -> std::io::Result<()> {
        assert!(of(&Tree::with_heaps()?).is_empty());
        Ok(())
    }
}
