// SPDX-License-Identifier: GPL-2.0

//! Whether devices stand behind an IOMMU, and how soon what was unmapped is out of
//! their reach.

use super::report::Finding;
use super::report::Topic;
use super::system::System;

const GROUPS: &str = "/sys/kernel/iommu_groups";

/// What the kernel calls the kinds of groups, and what that means.
const KINDS: [(&str, &str); 3] = [
    ("DMA", "strict: what is unmapped is out of reach at once"),
    (
        "DMA-FQ",
        "lazy: what is unmapped is out of reach a little later",
    ),
    ("identity", "pass-through: devices reach memory directly"),
];

pub(super) fn findings(system: &System) -> Vec<Finding> {
    let kinds: Vec<Option<String>> = system
        .names(GROUPS)
        .iter()
        .map(|group| system.text(&format!("{GROUPS}/{group}/type")))
        .collect();
    let text = match kinds.len() {
        0 => "no IOMMU: a device that takes one range only needs a contiguous heap".to_owned(),
        1 => format!("1 IOMMU group, {}", told(&kinds)),
        all => format!("{all} IOMMU groups, {}", told(&kinds)),
    };
    vec![Finding::ok(Topic::Iommu, text)]
}

fn told(kinds: &[Option<String>]) -> String {
    let mut parts = Vec::new();
    let mut left = kinds.len();
    for (kind, meaning) in KINDS {
        let number = kinds.iter().filter(|it| it.as_deref() == Some(kind));
        let number = number.count();
        left -= number;
        if number > 0 {
            parts.push(format!("{number} {meaning}"));
        }
    }
    if left > 0 {
        parts.push(format!("{left} of another kind"));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    fn text(tree: &Tree) -> String {
        let found = findings(&tree.system());
        found.iter().map(Finding::text).collect()
    }

    #[test]
    fn groups_are_counted_by_kind() -> std::io::Result<()> {
        let tree = Tree::new()?;
        assert!(text(&tree).starts_with("no IOMMU"));
        for (group, kind) in [
            ("0", "DMA"),
            ("1", "DMA-FQ"),
            ("2", "DMA-FQ"),
            ("3", "auto"),
        ] {
            tree.write(&format!("sys/kernel/iommu_groups/{group}/type"), kind)?;
        }
        assert!(text(&tree).starts_with("4 IOMMU groups, 1 strict: "));
        assert!(text(&tree).contains("; 2 lazy: "));
        assert!(text(&tree).ends_with("; 1 of another kind"));
        Ok(())
    }
}
