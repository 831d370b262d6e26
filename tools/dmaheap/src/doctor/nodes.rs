// SPDX-License-Identifier: GPL-2.0

//! The nodes: is there one for each heap, is anything in the way, and may the caller
//! open them.

use super::confinement;
use super::module::Module;
use super::report::Finding;
use super::report::Topic;
use super::report::quoted;
use super::rights;
use super::rights::Owner;
use super::rights::Verdict;
use super::rules;
use super::system::System;
use crate::owner::Names;
use dma_heap::HEAP_DIR;
use dma_heap::Registered;
use procfs_core::MountEntry;
use rustix::fs::FileType;
use std::collections::BTreeMap;

/// The heaps that the module may bring, by their plain names.
const OURS: [&str; 3] = ["system", "default_cma_region", "carveout"];

/// What stands in the directory under a name.
#[derive(Debug)]
pub(super) enum Kind {
    /// A node of this heap.
    Heap(Registered),
    /// A device that no heap has.
    Device,
    File,
    Folder,
    /// A link that leads nowhere.
    Dangling,
}

/// A name in the directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
    owner: Owner,
}

impl Entry {
    fn of(system: &System, name: String, heaps: &[Registered]) -> Self {
        let Some(stat) = system.stat(&path(&name)) else {
            let owner = Owner { gid: 0, mode: 0 };
            let kind = Kind::Dangling;
            return Self { name, kind, owner };
        };
        let number = (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        );
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice => heaps
                .iter()
                .find(|heap| heap.number == number)
                .map_or(Kind::Device, |heap| Kind::Heap(heap.clone())),
            FileType::BlockDevice => Kind::Device,
            FileType::Directory => Kind::Folder,
            _ => Kind::File,
        };
        let owner = Owner {
            gid: stat.st_gid,
            mode: stat.st_mode & 0o7777,
        };
        Self { name, kind, owner }
    }

    /// Whether the caller may open it, as far as owner, mode and lists go.
    pub(super) fn is_accessible(&self, system: &System) -> bool {
        let path = system.path(&path(&self.name));
        rustix::fs::access(path, rustix::fs::Access::READ_OK).is_ok()
    }
}

/// Where a name is.
pub(super) fn path(name: &str) -> String {
    format!("{HEAP_DIR}/{name}")
}

/// What is in the directory.
pub(super) fn entries(system: &System, heaps: &[Registered]) -> Vec<Entry> {
    system
        .names(HEAP_DIR)
        .into_iter()
        .map(|name| Entry::of(system, name, heaps))
        .collect()
}

pub(super) fn findings(system: &System, module: &Module, heaps: &[Registered]) -> Vec<Finding> {
    if system.exists(HEAP_DIR) && !system.is_dir(HEAP_DIR) {
        return vec![Finding::problem(
            Topic::Nodes,
            format!("{HEAP_DIR} is no folder: the kernel cannot make nodes in it"),
            format!("sudo rm {HEAP_DIR} && {}", module.load_again()),
        )];
    }
    let entries = entries(system, heaps);
    let mut findings: Vec<Finding> = entries
        .iter()
        .filter_map(|entry| in_the_way(system, module, entry))
        .collect();
    for heap in heaps {
        if !entries.iter().any(|entry| entry.name == heap.name) {
            findings.push(missing(system, module, &heap.name));
        }
    }
    let nodes: Vec<&Entry> = entries
        .iter()
        .filter(|entry| matches!(entry.kind, Kind::Heap(_)))
        .collect();
    if heaps.is_empty() {
        findings.push(Finding::note(Topic::Nodes, "there is no heap yet"));
    }
    findings.extend(access(system, &nodes));
    findings
}

/// Something that is no heap.
fn in_the_way(system: &System, module: &Module, entry: &Entry) -> Option<Finding> {
    // A container may have nodes and no sysfs that tells of them.
    let unknown = !system.is_dir("/sys/dev/char");
    let plain = entry.name.strip_suffix("-pooled").unwrap_or(&entry.name);
    let is_ours = OURS.contains(&plain);
    let (what, command) = match entry.kind {
        Kind::Heap(_) => return None,
        Kind::Device if unknown => return None,
        Kind::Device => ("a device of no heap", "rm"),
        Kind::File => ("a file", "rm"),
        Kind::Folder => ("a folder", "rmdir"),
        Kind::Dangling => ("a link that leads nowhere", "rm"),
    };
    let path = path(&entry.name);
    let mut remedy = format!("sudo {command} {}", quoted(&path));
    let text = if is_ours {
        remedy += &format!(" && {}", module.load_again());
        format!(
            "{path} already exists and is {what}, no heap: remove it, or load the module with \
             pooled_names=1 for names that end in -pooled"
        )
    } else {
        format!("{path} already exists and is {what}, no heap")
    };
    let is_problem = is_ours || !matches!(entry.kind, Kind::Device);
    Some(Finding::problem_if(is_problem, Topic::Nodes, text, remedy))
}

/// A heap without a node of its name.
fn missing(system: &System, module: &Module, name: &str) -> Finding {
    let path = path(name);
    if confinement::is_container(system) {
        return Finding::note(
            Topic::Nodes,
            format!("{path} is missing: this container was not given it"),
        );
    }
    let mounts: Option<Vec<MountEntry>> = system.parsed("/proc/mounts");
    let on_dev = mounts.and_then(|it| it.into_iter().rfind(|it| it.fs_file == "/dev"));
    if on_dev.is_some_and(|it| it.fs_vfstype != "devtmpfs") {
        return Finding::problem(
            Topic::Nodes,
            format!("{path} is missing: /dev is not a devtmpfs"),
            "sudo mount -t devtmpfs devtmpfs /dev",
        );
    }
    Finding::problem(
        Topic::Nodes,
        format!("{path} is missing: something was in its way when the module was loaded"),
        module.load_again(),
    )
}

/// Whether the caller may open the nodes: those of one kind on one line.
fn access(system: &System, nodes: &[&Entry]) -> Vec<Finding> {
    let names = Names::read_below(system.root());
    let mut verdicts: BTreeMap<(Verdict, bool), Vec<&str>> = BTreeMap::new();
    for entry in nodes {
        let verdict = rights::judge(
            entry.owner,
            entry.is_accessible(system),
            system.me(),
            &names,
        );
        let ours = matches!(&entry.kind, Kind::Heap(heap) if heap.attributes.is_some());
        // Rules for the kernel's own are not ours to install.
        let ours = ours || verdict != Verdict::Closed;
        verdicts
            .entry((verdict, ours))
            .or_default()
            .push(&entry.name);
    }
    verdicts
        .into_iter()
        .map(|((verdict, ours), names)| told(system, &verdict, ours, &names.join(" ")))
        .collect()
}

fn told(system: &System, verdict: &Verdict, ours: bool, nodes: &str) -> Finding {
    match verdict {
        Verdict::May => Finding::ok(Topic::Nodes, format!("you may open {nodes}")),
        Verdict::Join(group) => Finding::problem(
            Topic::Nodes,
            format!(
                "you may not open {nodes}: the group {group} may, and you are not in it; join it, \
                 then log in again"
            ),
            format!("sudo usermod -aG {} $USER", quoted(group)),
        ),
        Verdict::LogInAgain(group) => Finding::problem(
            Topic::Nodes,
            format!(
                "you may not open {nodes}: you have joined the group {group}, but not logged in \
                 again since"
            ),
            format!("newgrp {}", quoted(group)),
        ),
        Verdict::Closed if ours => {
            let (why, remedy) = rules::remedy(system, rules::RIGHTS);
            let text = format!("you may not open {nodes}: only root may; {why}");
            Finding::problem(Topic::Nodes, text, remedy)
        }
        Verdict::Closed => Finding::note(
            Topic::Nodes,
            format!(
                "you may not open {nodes} of the kernel: run as root, or give your group the node \
                 with a udev rule such as SUBSYSTEM==\"dma_heap\", GROUP=\"video\", MODE=\"0660\""
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::Kernel;
    use super::super::report::Level;
    use super::super::tree::Tree;
    use super::*;

    fn of(tree: &Tree) -> Vec<Finding> {
        let system = tree.system();
        let kernel = Kernel::of(&system);
        let heaps = dma_heap::registered_below(tree.path());
        findings(&system, &Module::of(&system, &kernel), &heaps)
    }

    fn has(tree: &Tree, level: Level, part: &str, remedy: &str) -> bool {
        of(tree)
            .iter()
            .any(|it| it.is(level) && it.text().contains(part) && it.remedy() == remedy)
    }

    const RELOAD: &str = "sudo modprobe -r rust_dma_heap && sudo modprobe rust_dma_heap";

    #[test]
    fn what_is_no_heap_is_in_the_way() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.write("dev/dma_heap/system", "")?;
        tree.link("dev/dma_heap/carveout-pooled", "/nowhere/at/all")?;
        tree.write("dev/dma_heap/linux,cma/file", "")?;
        let remedy = format!("sudo rm /dev/dma_heap/system && {RELOAD}");
        assert!(has(&tree, Level::Problem, "already exists", &remedy));
        let remedy = format!("sudo rm /dev/dma_heap/carveout-pooled && {RELOAD}");
        assert!(has(&tree, Level::Problem, "leads nowhere", &remedy));
        let remedy = "sudo rmdir /dev/dma_heap/linux,cma";
        assert!(has(&tree, Level::Problem, "a folder", remedy));
        tree.unload()?;
        let remedy = "sudo rm /dev/dma_heap/system && sudo modprobe rust_dma_heap";
        assert!(has(&tree, Level::Problem, "already exists", remedy));
        Ok(())
    }

    #[test]
    fn a_file_in_the_place_of_the_folder() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.write("dev/dma_heap", "")?;
        let remedy = format!("sudo rm /dev/dma_heap && {RELOAD}");
        assert!(has(&tree, Level::Problem, "no folder", &remedy));
        Ok(())
    }

    #[test]
    fn a_heap_has_a_node() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        assert!(has(&tree, Level::Note, "no heap yet", ""));
        tree.write("sys/class/dma_heap/system/dev", "250:0\n")?;
        assert!(has(&tree, Level::Problem, "system is missing", RELOAD));
        tree.write("proc/mounts", "udev /dev devtmpfs rw 0 0\n")?;
        assert!(has(&tree, Level::Problem, "system is missing", RELOAD));
        tree.write(
            "proc/mounts",
            "udev /dev devtmpfs rw 0 0\ntmpfs /dev tmpfs rw 0 0\n",
        )?;
        let remedy = "sudo mount -t devtmpfs devtmpfs /dev";
        assert!(has(&tree, Level::Problem, "not a devtmpfs", remedy));
        tree.write("run/.containerenv", "")?;
        assert!(has(&tree, Level::Note, "not given", ""));
        Ok(())
    }

    #[test]
    fn a_group_can_be_joined() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        let system = tree.system();
        let it = told(&system, &Verdict::Join("video".into()), true, "system");
        assert_eq!(it.remedy(), "sudo usermod -aG video $USER");
        let it = told(
            &system,
            &Verdict::LogInAgain("video".into()),
            true,
            "system",
        );
        assert_eq!(it.remedy(), "newgrp video");
        let it = told(&system, &Verdict::Closed, true, "system");
        assert!(it.is(Level::Problem) && it.text().contains("rules are not installed"));
        assert!(told(&system, &Verdict::Closed, false, "system").is(Level::Note));
        Ok(())
    }
}
