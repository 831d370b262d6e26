// SPDX-License-Identifier: GPL-2.0

//! Whether our udev rules are installed.

use super::system::System;

/// Who may open the heaps.
pub(super) const RIGHTS: &str = "60-rust-dma-heap.rules";
/// The nodes of compatible names.
pub(super) const NAMES: &str = "90-rust-dma-heap-names.rules";

const FOLDERS: [&str; 4] = [
    "/etc/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/lib/udev/rules.d",
];
/// Where the rules look for this program.
const PROGRAM: [&str; 2] = ["/usr/bin/dmaheap", "/usr/local/bin/dmaheap"];

const TRIGGER: &str = "sudo udevadm trigger --action=change --subsystem-match=dma_heap \
    --subsystem-match=rust_dma_heap";

/// What keeps a file of the rules from having done its work, and what mends it.
pub(super) fn remedy(system: &System, rules: &str) -> (&'static str, String) {
    let installed = FOLDERS
        .iter()
        .any(|folder| system.exists(&format!("{folder}/{rules}")));
    if !installed {
        return (
            "the udev rules are not installed: they are in the package dmaheap and in this \
             project's source",
            format!(
                "sudo cp tools/udev/*.rules /etc/udev/rules.d/ && sudo udevadm control --reload \
                 && {TRIGGER}"
            ),
        );
    }
    if rules == NAMES && !PROGRAM.iter().any(|path| system.exists(path)) {
        return (
            "the udev rules look for the program dmaheap in /usr/bin and /usr/local/bin, and it \
             is in neither",
            format!("sudo cp ~/.cargo/bin/dmaheap /usr/local/bin/ && {TRIGGER}"),
        );
    }
    (
        "the udev rules are installed, but have not been carried out",
        TRIGGER.to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    #[test]
    fn what_keeps_the_rules_from_working() -> std::io::Result<()> {
        let tree = Tree::new()?;
        let remedy_for = |rules| remedy(&tree.system(), rules).1;
        assert!(remedy_for(RIGHTS).starts_with("sudo cp tools/udev/*.rules"));
        tree.write(&format!("usr/lib/udev/rules.d/{RIGHTS}"), "")?;
        tree.write(&format!("etc/udev/rules.d/{NAMES}"), "")?;
        assert_eq!(remedy_for(RIGHTS), TRIGGER);
        assert!(remedy_for(NAMES).contains("/usr/local/bin/"));
        tree.write("usr/local/bin/dmaheap", "")?;
        assert_eq!(remedy_for(NAMES), TRIGGER);
        Ok(())
    }
}
