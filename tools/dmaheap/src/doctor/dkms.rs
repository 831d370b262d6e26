// SPDX-License-Identifier: GPL-2.0

//! What DKMS has made of the module, if it has it.

use super::kernel::Kernel;
use super::missing;
use super::module::Module;
use super::report::Finding;
use super::report::Level;
use super::report::Topic;
use super::system::System;

/// What DKMS knows of the module.
pub(super) const TREE: &str = "/var/lib/dkms/rust-dma-heap";
/// How it comes to have the module.
pub(super) const PACKAGE: &str = "sudo apt install ./rust-dma-heap-dkms_*.deb";
/// What was missing to build for a kernel, in a file with the name of its release.
const MISSING: &str = "/var/lib/rust-dma-heap/missing";

/// `blocked` says that this kernel cannot have the module, or not yet, for a reason
/// that was told before.
pub(super) fn findings(
    system: &System,
    kernel: &Kernel,
    module: &Module,
    blocked: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for release in system.names(MISSING) {
        let needed = release == kernel.release() && !module.is_there();
        findings.extend(missing_for(system, &release, needed));
    }
    let told = findings.iter().any(|it| it.is(Level::Problem));
    if let Some(version) = newest(system) {
        findings.push(state(system, kernel, module, &version, blocked || told));
    }
    findings
}

fn missing_for(system: &System, release: &str, needed: bool) -> Vec<Finding> {
    // Of a kernel that is gone nobody wants to know.
    if !system.exists(&format!("/lib/modules/{release}/build")) {
        return Vec::new();
    }
    let text = system.text(&format!("{MISSING}/{release}"));
    missing::parse(&text.unwrap_or_default())
        .into_iter()
        .map(|it| {
            let text = format!(
                "rust_dma_heap is missing for the kernel {release}: {}; it will be built \
                 automatically once that is installed",
                it.text
            );
            Finding::problem_if(needed, Topic::Dkms, text, it.remedy)
        })
        .collect()
}

/// The version that DKMS got last. (Packages have one at a time.)
pub(super) fn newest(system: &System) -> Option<String> {
    system
        .names(TREE)
        .into_iter()
        .filter(|name| system.exists(&format!("{TREE}/{name}/source")))
        .max_by_key(|name| system.stat(&format!("{TREE}/{name}")).map(|it| it.st_mtime))
}

/// The command by which DKMS builds and installs it for a kernel.
pub(super) fn install(version: &str, release: &str) -> String {
    format!("sudo dkms install -m rust-dma-heap -v {version} -k {release}")
}

fn state(
    system: &System,
    kernel: &Kernel,
    module: &Module,
    version: &str,
    blocked: bool,
) -> Finding {
    let release = kernel.release();
    // DKMS leaves a link for each kernel that has the module: kernel-RELEASE-ARCH.
    let start = format!("kernel-{release}-");
    let installed = system
        .names(TREE)
        .iter()
        .any(|name| name.starts_with(&start));
    if installed {
        let text = format!("{version} is installed for the kernel {release}");
        return Finding::ok(Topic::Dkms, text);
    }
    let text = if system.is_dir(&format!("{TREE}/{version}/{release}")) {
        format!("{version} is built for the kernel {release}, but not installed")
    } else if system.exists(&format!("{TREE}/{version}/build/make.log")) {
        format!(
            "{version} could not be built; what was said is in \
             {TREE}/{version}/build/make.log"
        )
    } else {
        format!("{version} is not built for the kernel {release}")
    };
    let needed = !module.is_there() && !blocked;
    Finding::problem_if(needed, Topic::Dkms, text, install(version, release))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    fn of(tree: &Tree, blocked: bool) -> Vec<Finding> {
        let system = tree.system();
        let kernel = Kernel::of(&system);
        let module = Module::of(&system, &kernel);
        findings(&system, &kernel, &module, blocked)
    }

    fn without_module() -> std::io::Result<Tree> {
        let tree = Tree::with_heaps()?;
        tree.unload()?;
        tree.remove("lib/modules/7.3.4/updates")?;
        tree.write("var/lib/dkms/rust-dma-heap/1.0/source/dkms.conf", "")?;
        Ok(tree)
    }

    #[test]
    fn nothing_is_said_where_it_does_not_have_the_module() -> std::io::Result<()> {
        assert!(of(&Tree::with_heaps()?, false).is_empty());
        Ok(())
    }

    #[test]
    fn its_states() -> std::io::Result<()> {
        let tree = without_module()?;
        let remedy = "sudo dkms install -m rust-dma-heap -v 1.0 -k 7.3.4";
        let one = |level: Level, part: &str, blocked| {
            let found = of(&tree, blocked);
            found.len() == 1
                && found
                    .iter()
                    .all(|it| it.is(level) && it.text().contains(part))
                && (level == Level::Ok || found.iter().all(|it| it.remedy() == remedy))
        };
        assert!(one(Level::Problem, "is not built", false));
        assert!(one(Level::Note, "is not built", true));
        tree.write("var/lib/dkms/rust-dma-heap/1.0/build/make.log", "no\n")?;
        assert!(one(Level::Problem, "make.log", false));
        tree.write("var/lib/dkms/rust-dma-heap/1.0/7.3.4/x86_64/log", "")?;
        assert!(one(Level::Problem, "but not installed", false));
        tree.link("var/lib/dkms/rust-dma-heap/kernel-7.3.4-x86_64", "nowhere")?;
        assert!(one(Level::Ok, "is installed", false));
        Ok(())
    }

    #[test]
    fn what_was_missing_is_told_of_kernels_that_are_there() -> std::io::Result<()> {
        let tree = without_module()?;
        let text = "error: bindgen is missing.\n       Install the package bindgen.\n";
        for release in ["7.3.4", "7.3.5", "7.3.6"] {
            tree.write(&format!("var/lib/rust-dma-heap/missing/{release}"), text)?;
        }
        tree.write("lib/modules/7.3.5/build/.config", "")?;
        let found = of(&tree, false);
        let of = |level, release: &str| {
            let it = found.iter().filter(|it| {
                it.is(level)
                    && it.text().contains(&format!("the kernel {release}: "))
                    && it.remedy() == "sudo apt install bindgen"
            });
            it.count()
        };
        assert_eq!(of(Level::Problem, "7.3.4"), 1);
        assert_eq!(of(Level::Note, "7.3.5"), 1);
        assert_eq!(of(Level::Note, "7.3.6"), 0);
        // That it is not built follows from it.
        let problems = found.iter().filter(|it| it.is(Level::Problem));
        assert_eq!(problems.count(), 1);
        Ok(())
    }
}
