// SPDX-License-Identifier: GPL-2.0

//! `dmaheap doctor`: can this machine have our heaps, and what is to be done.
//!
//! The scripts of `tools/machine` look at the same things for those who have no
//! tool yet. Both use the same words.

mod areas;
mod build;
mod confinement;
mod dkms;
mod iommu;
mod kernel;
mod missing;
mod module;
mod module_file;
mod names;
mod nodes;
mod report;
mod rights;
mod rules;
mod signature;
mod system;
#[cfg(test)]
mod tree;
mod users;

use crate::Outcome;
use crate::cli::DoctorOptions;
use kernel::Kernel;
use module::Module;
use report::Finding;
use report::Level;
use system::System;

/// Looks at everything and tells it.
pub(crate) fn run(options: &DoctorOptions) -> anyhow::Result<Outcome> {
    let findings = examine(&System::here());
    report::print(&findings, options.json)?;
    Ok(match problems(&findings) {
        0 => Outcome::Good,
        _ => Outcome::Bad,
    })
}

fn problems(findings: &[Finding]) -> usize {
    findings.iter().filter(|it| it.is(Level::Problem)).count()
}

/// From the kernel up: what cannot be because of an earlier problem is no problem
/// of its own.
fn examine(system: &System) -> Vec<Finding> {
    let kernel = Kernel::of(system);
    let module = Module::of(system, &kernel);
    let heaps = dma_heap::registered_below(system.root());
    let mut findings = kernel.findings(system, &module);
    // A kernel that cannot have the module needs no folder to build it.
    if problems(&findings) == 0 {
        findings.extend(build::findings(system, &kernel, &module));
    }
    let blocked = problems(&findings) > 0;
    findings.extend(dkms::findings(system, &kernel, &module, blocked));
    findings.extend(signature::findings(system, &kernel, &module));
    let blocked = problems(&findings) > 0;
    findings.extend(module.findings(system, &kernel, blocked));
    findings.extend(nodes::findings(system, &module, &heaps));
    findings.extend(areas::findings(system, &kernel));
    findings.extend(iommu::findings(system));
    findings.extend(names::findings(system, &heaps));
    findings.extend(confinement::findings(system, &heaps));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::Topic;
    use tree::Tree;

    fn texts(findings: &[Finding], level: Level) -> Vec<(Topic, &str)> {
        let found = findings.iter().filter(|it| it.is(level));
        found.map(|it| (it.topic(), it.text())).collect()
    }

    #[test]
    fn a_machine_with_heaps_has_no_problem() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        let findings = examine(&tree.system());
        assert_eq!(texts(&findings, Level::Problem), []);
        for topic in [Topic::Kernel, Topic::Module, Topic::Areas, Topic::Iommu] {
            assert!(findings.iter().any(|it| it.topic() == topic), "{topic:?}");
        }
        Ok(())
    }

    #[test]
    fn what_follows_from_a_problem_is_none_of_its_own() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.unload()?;
        tree.remove("lib/modules/7.3.4/updates")?;
        tree.write("boot/config-7.3.4", "CONFIG_DMA_SHARED_BUFFER=y\n")?;
        let findings = examine(&tree.system());
        let problems = texts(&findings, Level::Problem);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems.iter().all(|(topic, _)| *topic == Topic::Kernel));
        Ok(())
    }
}
