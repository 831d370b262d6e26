// SPDX-License-Identifier: GPL-2.0

//! What units and containers need, and whether this program runs in one that may
//! not open heaps.

use super::nodes;
use super::nodes::Kind;
use super::report::Finding;
use super::report::Topic;
use super::report::quoted;
use super::system::System;
use dma_heap::Registered;
use procfs_core::ProcessCGroups;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Whether this is a container, as docker, podman and systemd mark it.
pub(super) fn is_container(system: &System) -> bool {
    [
        "/.dockerenv",
        "/run/.containerenv",
        "/run/systemd/container",
    ]
    .iter()
    .any(|file| system.exists(file))
}

pub(super) fn findings(system: &System, heaps: &[Registered]) -> Vec<Finding> {
    // Nodes whose owner and mode allow it: if the kernel refuses one all the same,
    // something else stands before them all.
    let refused = nodes::entries(system, heaps)
        .iter()
        .filter(|entry| matches!(entry.kind, Kind::Heap(_)) && entry.is_accessible(system))
        .find_map(|entry| {
            let path = nodes::path(&entry.name);
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            match rustix::fs::open(system.path(&path), flags, Mode::empty()) {
                Err(error @ (Errno::PERM | Errno::ACCESS)) => Some((path, error)),
                // Any other error is none of rights.
                _ => None,
            }
        });
    vec![told(system, refused)]
}

fn told(system: &System, refused: Option<(String, Errno)>) -> Finding {
    match refused {
        None => Finding::ok(
            Topic::Confinement,
            "a systemd unit with DevicePolicy=closed needs DeviceAllow=char-dma_heap rw, a \
             container --device /dev/dma_heap",
        ),
        Some((path, Errno::PERM)) => Finding::problem(
            Topic::Confinement,
            format!("{path} may be opened, but not by this unit or container"),
            remedy(system),
        ),
        Some((path, _)) => Finding::note(
            Topic::Confinement,
            format!(
                "{path} may be opened by its mode, but the kernel refuses it: a profile \
                 (AppArmor, SELinux) or the option nodev of its mount; see docs/confinement.md"
            ),
        ),
    }
}

fn remedy(system: &System) -> String {
    if is_container(system) {
        return "start the container with: --device /dev/dma_heap".to_owned();
    }
    let unit = unit(system).unwrap_or_else(|| "UNIT".to_owned());
    format!(
        "sudo systemctl set-property {} 'DeviceAllow=char-dma_heap rw'",
        quoted(&unit)
    )
}

/// The unit that this program runs in: the last in its cgroup's path.
fn unit(system: &System) -> Option<String> {
    let groups: ProcessCGroups = system.parsed("/proc/self/cgroup")?;
    let suffixes = [".service", ".scope", ".slice"];
    groups.0.iter().find_map(|group| {
        let mut parts = group.pathname.rsplit('/');
        let unit = parts.find(|part| suffixes.iter().any(|it| part.ends_with(it)));
        unit.map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::super::tree::Tree;
    use super::*;

    fn refused(tree: &Tree, error: Errno) -> Finding {
        let path = "/dev/dma_heap/system".to_owned();
        told(&tree.system(), Some((path, error)))
    }

    #[test]
    fn what_a_unit_needs_is_said_in_any_case() -> std::io::Result<()> {
        let found = findings(&Tree::with_heaps()?.system(), &[]);
        assert!(found.iter().all(|it| it.is(Level::Ok)));
        assert!(
            found
                .iter()
                .any(|it| it.text().contains("DeviceAllow=char-dma_heap"))
        );
        Ok(())
    }

    #[test]
    fn a_unit_that_may_not_is_named() -> std::io::Result<()> {
        let tree = Tree::new()?;
        assert!(refused(&tree, Errno::PERM).remedy().contains(" UNIT "));
        tree.write(
            "proc/self/cgroup",
            "0::/system.slice/camera@0.service/inner\n",
        )?;
        assert_eq!(
            refused(&tree, Errno::PERM).remedy(),
            "sudo systemctl set-property 'camera@0.service' 'DeviceAllow=char-dma_heap rw'"
        );
        tree.write("run/.containerenv", "")?;
        let it = refused(&tree, Errno::PERM);
        assert!(it.is(Level::Problem) && it.remedy().ends_with("--device /dev/dma_heap"));
        assert!(refused(&tree, Errno::ACCESS).is(Level::Note));
        Ok(())
    }
}
