// SPDX-License-Identifier: GPL-2.0

//! The running kernel: its series, and what it was built with.

use super::module::Module;
use super::report::Finding;
use super::report::Topic;
use super::system::System;
use flate2::read::GzDecoder;
use procfs_core::ConfigSetting;
use procfs_core::FromRead as _;
use procfs_core::KernelConfig;

/// The series that the module supports, as the lab has them.
const SERIES: &str = include_str!("../../../../tests/lab/series");
/// README's way to a kernel that has Rust.
pub(super) const OTHER_KERNEL: &str = "sudo apt install \
    {linux-base,linux-{image,headers}-$(dpkg --print-architecture),linux-source}/trixie-backports";

/// The running kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    release: String,
    /// With the file that it comes from.
    config: Option<(String, KernelConfig)>,
}

impl Kernel {
    pub(super) fn of(system: &System) -> Self {
        let release = system
            .text("/proc/sys/kernel/osrelease")
            .unwrap_or_default();
        Self {
            config: config(system, &release),
            release,
        }
    }

    /// What `uname -r` says.
    pub(super) fn release(&self) -> &str {
        &self.release
    }

    /// Where its modules are.
    pub(super) fn modules(&self) -> String {
        format!("/lib/modules/{}", self.release)
    }

    /// An option's value: `y`, `m`, a number or a text, and nothing where it is
    /// not set. [`None`] if nobody knows.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        let (_, config) = self.config.as_ref()?;
        Some(match config.0.get(name) {
            Some(ConfigSetting::Yes) => "y",
            Some(ConfigSetting::Module) => "m",
            Some(ConfigSetting::Value(text)) => text.trim_matches('"'),
            None => "",
        })
    }

    pub(super) fn findings(&self, system: &System, module: &Module) -> Vec<Finding> {
        let mut findings = vec![self.series(module)];
        findings.extend(self.options(module));
        if !system.exists("/proc/modules") && !module.is_loaded() {
            findings.push(Finding::problem(
                Topic::Kernel,
                format!(
                    "the running kernel {} has no loadable modules (CONFIG_MODULES)",
                    self.release
                ),
                OTHER_KERNEL,
            ));
        }
        findings
    }

    fn series(&self, module: &Module) -> Finding {
        let release = &self.release;
        let supported: Vec<(u32, u32)> = SERIES.lines().filter_map(series_of).collect();
        let Some(series) = series_of(release) else {
            let text = format!("{release:?} is a release of no known form");
            return Finding::note(Topic::Kernel, text);
        };
        if supported.contains(&series) {
            let text = format!("{release} belongs to a supported series");
            return Finding::ok(Topic::Kernel, text);
        }
        match supported.iter().min() {
            Some(oldest) if series < *oldest && !module.is_loaded() => Finding::problem(
                Topic::Kernel,
                format!(
                    "{release} is older than the module knows: it takes Linux {}.{} or newer",
                    oldest.0, oldest.1
                ),
                OTHER_KERNEL,
            ),
            _ => Finding::note(
                Topic::Kernel,
                format!("{release} belongs to a series that is not in tests/lab/series"),
            ),
        }
    }

    fn options(&self, module: &Module) -> Vec<Finding> {
        // A module that runs is the best proof.
        if module.is_loaded() {
            return Vec::new();
        }
        let release = &self.release;
        let Some((file, _)) = &self.config else {
            return vec![Finding::note(
                Topic::Kernel,
                format!(
                    "the configuration of {release} is neither in /proc/config.gz nor in \
                     /boot/config-{release}: nobody knows whether it has CONFIG_RUST"
                ),
            )];
        };
        let mut findings = Vec::new();
        if self.option("CONFIG_RUST") != Some("y") {
            findings.push(Finding::problem(
                Topic::Kernel,
                format!(
                    "the kernel {release} is built without CONFIG_RUST: it cannot load a Rust \
                     module; Debian's kernels of trixie-backports have it"
                ),
                OTHER_KERNEL,
            ));
        }
        if self.option("CONFIG_DMA_SHARED_BUFFER") != Some("y") {
            findings.push(Finding::problem(
                Topic::Kernel,
                format!("the kernel {release} is built without CONFIG_DMA_SHARED_BUFFER"),
                OTHER_KERNEL,
            ));
        }
        if findings.is_empty() {
            findings.push(Finding::ok(
                Topic::Kernel,
                format!("CONFIG_RUST=y, CONFIG_DMA_SHARED_BUFFER=y ({file})"),
            ));
        }
        findings
    }
}

/// The kernel's own word first; the others are what a package says of it.
fn config(system: &System, release: &str) -> Option<(String, KernelConfig)> {
    let packed = "/proc/config.gz";
    if let Some(bytes) = system.bytes(packed) {
        if let Ok(config) = KernelConfig::from_read(GzDecoder::new(&*bytes)) {
            return Some((packed.to_owned(), config));
        }
    }
    [
        format!("/boot/config-{release}"),
        format!("/lib/modules/{release}/config"),
        format!("/lib/modules/{release}/build/.config"),
    ]
    .into_iter()
    .find_map(|file| {
        let config = system.parsed(&file)?;
        Some((file, config))
    })
}

/// The two numbers that a release begins with.
fn series_of(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::super::tree::Tree;
    use super::*;
    use std::io::Write as _;

    fn findings(tree: &Tree) -> Vec<Finding> {
        let system = tree.system();
        let kernel = Kernel::of(&system);
        let module = Module::of(&system, &kernel);
        kernel.findings(&system, &module)
    }

    fn problems(tree: &Tree) -> Vec<String> {
        let found = findings(tree);
        let found = found.iter().filter(|it| it.is(Level::Problem));
        found.map(|it| it.text().to_owned()).collect()
    }

    #[test]
    fn a_release_belongs_to_a_series() {
        assert_eq!(series_of("7.3.4+deb13-amd64"), Some((7, 3)));
        assert_eq!(series_of("7.3-rc1"), Some((7, 3)));
        assert_eq!(series_of("# a comment. 7"), None);
        assert_eq!(series_of(""), None);
        assert!(SERIES.lines().filter_map(series_of).count() > 0);
    }

    #[test]
    fn the_kernel_itself_knows_best() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.unload()?;
        tree.write("boot/config-7.3.4", "# CONFIG_RUST is not set\n")?;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"CONFIG_RUST=y\nCONFIG_DMA_SHARED_BUFFER=y\nCONFIG_TEXT=\"a b\"\n")?;
        tree.write("proc/config.gz", gz.finish()?)?;
        assert_eq!(problems(&tree), Vec::<String>::new());
        let kernel = Kernel::of(&tree.system());
        assert_eq!(kernel.option("CONFIG_TEXT"), Some("a b"));
        assert_eq!(kernel.option("CONFIG_DMA_CMA"), Some(""));
        Ok(())
    }

    #[test]
    fn without_rust_it_cannot_have_the_module() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.unload()?;
        tree.write("boot/config-7.3.4", "# CONFIG_RUST is not set\n")?;
        let problems = problems(&tree);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems.concat().contains("without CONFIG_RUST:"));
        assert!(
            problems
                .concat()
                .contains("without CONFIG_DMA_SHARED_BUFFER")
        );
        Ok(())
    }

    #[test]
    fn another_kernel_comes_as_in_the_readme() {
        // `make test-packages` installs one by that command.
        assert!(include_str!("../../../../README.md").contains(OTHER_KERNEL));
    }

    #[test]
    fn without_modules_it_cannot_either() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.unload()?;
        tree.remove("proc/modules")?;
        assert!(problems(&tree).concat().contains("CONFIG_MODULES"));
        Ok(())
    }

    #[test]
    fn older_is_a_problem_and_newer_is_tried() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.unload()?;
        for (release, level) in [
            ("7.3.4", Level::Ok),
            ("6.12.1", Level::Problem),
            ("7.99.1", Level::Note),
            ("nonsense", Level::Note),
        ] {
            tree.write("proc/sys/kernel/osrelease", release)?;
            let first = findings(&tree).into_iter().next();
            assert!(first.is_some_and(|it| it.is(level)), "{release}");
        }
        Ok(())
    }

    #[test]
    fn an_unknown_configuration_is_no_problem() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.unload()?;
        tree.remove("boot")?;
        tree.remove("lib/modules/7.3.4/build")?;
        let found = findings(&tree);
        assert!(found.iter().all(|it| !it.is(Level::Problem)));
        assert!(found.iter().any(|it| it.text().contains("nobody knows")));
        Ok(())
    }
}
