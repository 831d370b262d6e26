// SPDX-License-Identifier: GPL-2.0

//! What it takes to build the module for the running kernel: headers, the Rust
//! artefacts, compilers. kernel-check looks at the same.

use super::confinement;
use super::kernel::Kernel;
use super::module::Module;
use super::report::Finding;
use super::report::Topic;
use super::system::System;

/// Where the folders are that `make kdir` and DKMS make.
const KDIRS: &str = "/var/lib/rust-dma-heap/kdir";

pub(super) fn findings(system: &System, kernel: &Kernel, module: &Module) -> Vec<Finding> {
    // For a module that is there already it is of interest for the next build only.
    let needed = !module.is_there();
    if module.is_built_in() || !needed && confinement::is_container(system) {
        return Vec::new();
    }
    let mut findings = folder(system, kernel, needed);
    if needed {
        findings.extend(compilers(system, kernel));
    }
    findings
}

fn folder(system: &System, kernel: &Kernel, needed: bool) -> Vec<Finding> {
    let release = kernel.release();
    let headers = format!("{}/build", kernel.modules());
    if !system.exists(&format!("{headers}/.config")) {
        return vec![Finding::problem_if(
            needed,
            Topic::Build,
            format!("the headers of the kernel {release} are not installed ({headers})"),
            format!("sudo apt install linux-headers-{release}"),
        )];
    }
    for folder in [format!("{KDIRS}/{release}"), headers.clone()] {
        if has_artefacts(system, &folder) {
            // DKMS makes them anew by itself.
            if is_outdated(system, kernel, &folder) && !system.is_dir(super::dkms::TREE) {
                return vec![Finding::problem_if(
                    needed,
                    Topic::Build,
                    format!("{folder} was made for other headers than those of {headers}"),
                    format!("sudo make kdir KVERSION={release}"),
                )];
            }
            return vec![Finding::ok(
                Topic::Build,
                format!("{folder} can take a Rust module"),
            )];
        }
    }
    if system.is_dir(super::dkms::TREE) {
        return vec![Finding::ok(
            Topic::Build,
            format!("{headers} is there; DKMS makes the Rust artefacts before it builds"),
        )];
    }
    if !needed {
        return Vec::new();
    }
    vec![Finding::problem(
        Topic::Build,
        format!(
            "{headers} has no Rust artefacts (rust/*.rmeta): Debian's linux-headers packages lack \
             them; make them in this project's source, once per kernel"
        ),
        "sudo make kdir",
    )]
}

fn has_artefacts(system: &System, folder: &str) -> bool {
    let files = system.names(&format!("{folder}/rust"));
    files.iter().any(|name| name.ends_with(".rmeta"))
}

/// Is the folder made for other headers than the installed ones? `make kdir` writes down their
/// package's version and the hash of their configuration.
fn is_outdated(system: &System, kernel: &Kernel, folder: &str) -> bool {
    let Some(made_from) = system.text(&format!("{folder}/made-from")) else {
        return false;
    };
    let config = system.path(&format!("{}/build/.config", kernel.modules()));
    let package = format!("linux-headers-{}", kernel.release());
    let here = [
        system.said("sha256sum", &["-b", &config.to_string_lossy()]),
        system.said("dpkg-query", &["-W", "-f", "${Version}", &package]),
    ];
    // Behind the hash is the file's name.
    let mut words = here.iter().flatten().filter_map(|it| it.split(' ').next());
    !words.all(|it| made_from.contains(it))
}

fn compilers(system: &System, kernel: &Kernel) -> Vec<Finding> {
    let mut findings = Vec::new();
    let wanted = kernel.option("CONFIG_RUSTC_VERSION_TEXT").unwrap_or("");
    let rustc = named("RUSTC", "rustc");
    findings.extend(rustc_check(
        &rustc,
        wanted,
        system.said(&rustc, &["--version"]).as_deref(),
    ));
    if system.program(&named("BINDGEN", "bindgen")).is_none() {
        findings.push(Finding::problem(
            Topic::Build,
            "bindgen is missing",
            "sudo apt install bindgen",
        ));
    }
    let text = kernel.option("CONFIG_CC_VERSION_TEXT").unwrap_or("");
    let cc = text.split_whitespace().next().unwrap_or("gcc");
    if system.program(cc).is_none() && system.program(&named("CC", "gcc")).is_none() {
        // Debian's compilers have the machine's name before their own.
        let package = cc.rsplit("-gnu-").next().unwrap_or(cc);
        findings.push(Finding::problem(
            Topic::Build,
            format!("there is no C compiler; {text:?} built the kernel"),
            format!("sudo apt install {package}"),
        ));
    }
    if findings.is_empty() {
        let text = "the compilers that built the kernel are here";
        findings.push(Finding::ok(Topic::Build, text));
    }
    findings
}

/// A program that the environment may name otherwise, as for `make`.
fn named(variable: &str, usual: &str) -> String {
    match std::env::var(variable) {
        Ok(name) if !name.is_empty() => name,
        _ => usual.to_owned(),
    }
}

/// `here` is what rustc says of itself, `wanted` what the kernel's did.
fn rustc_check(rustc: &str, wanted: &str, here: Option<&str>) -> Option<Finding> {
    match here {
        None => Some(Finding::problem(
            Topic::Build,
            match wanted {
                "" => format!("{rustc} is missing: install the one that built the kernel"),
                _ => format!("{rustc} is missing: install exactly {wanted}"),
            },
            "sudo apt install rustc rust-src",
        )),
        Some(here) if !wanted.is_empty() && here != wanted => Some(Finding::problem(
            Topic::Build,
            format!(
                "the kernel was built by another rustc than the one here (kernel: {wanted}; here: \
                 {here}): Rust has no stable ABI; install exactly that one, or name it"
            ),
            "make RUSTC=/path/to/it",
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::super::tree::Tree;
    use super::*;

    fn of(tree: &Tree, needed: bool) -> Vec<Finding> {
        let system = tree.system();
        folder(&system, &Kernel::of(&system), needed)
    }

    fn has(findings: &[Finding], level: Level, remedy: &str) -> bool {
        findings
            .iter()
            .any(|it| it.is(level) && it.remedy() == remedy)
    }

    #[test]
    fn headers_are_needed_to_build() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.remove("lib/modules/7.3.4/build")?;
        let remedy = "sudo apt install linux-headers-7.3.4";
        assert!(has(&of(&tree, true), Level::Problem, remedy));
        assert!(has(&of(&tree, false), Level::Note, remedy));
        Ok(())
    }

    #[test]
    fn artefacts_are_in_either_folder_or_made_by_dkms() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        assert!(has(&of(&tree, true), Level::Problem, "sudo make kdir"));
        assert!(of(&tree, false).is_empty());
        let files = [
            "lib/modules/7.3.4/build/rust/core.rmeta",
            "var/lib/rust-dma-heap/kdir/7.3.4/rust/core.rmeta",
            "var/lib/dkms/rust-dma-heap/1.0/source",
        ];
        for file in files {
            tree.write(file, "")?;
            assert!(has(&of(&tree, true), Level::Ok, ""), "{file}");
            tree.remove(file)?;
            if !file.contains("dkms") {
                assert!(has(&of(&tree, true), Level::Problem, "sudo make kdir"));
            }
        }
        Ok(())
    }

    #[test]
    fn artefacts_may_be_of_other_headers() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.write("var/lib/rust-dma-heap/kdir/7.3.4/rust/core.rmeta", "")?;
        let made_from = "var/lib/rust-dma-heap/kdir/7.3.4/made-from";
        tree.link("usr/bin/sha256sum", "/usr/bin/sha256sum")?;
        // Says what it is asked for, which begins with "-W".
        tree.link("usr/bin/dpkg-query", "/bin/echo")?;
        // Of "CONFIG_RUST=y" and the line's end.
        let hash = "9322749a98a1a71570fb634df1c7e6de2a5a76d728e7f9d7b14f81c86638e499";
        for (text, level) in [
            (format!("-W\n{hash}  -"), Level::Ok),
            (format!("7.3.4-1\n{hash}  -"), Level::Problem),
            ("-W\n0000  -".to_owned(), Level::Problem),
        ] {
            tree.write(made_from, &text)?;
            let remedy = match level {
                Level::Ok => "",
                _ => "sudo make kdir KVERSION=7.3.4",
            };
            assert!(has(&of(&tree, true), level, remedy), "{text}");
        }
        tree.write("var/lib/dkms/rust-dma-heap/1.0/source", "")?;
        assert!(has(&of(&tree, true), Level::Ok, ""));
        Ok(())
    }

    #[test]
    fn rustc_is_exactly_the_kernels() {
        let wanted = "rustc 1.85.0 (4d91de4e4 2025-02-17)";
        assert!(rustc_check("rustc", wanted, Some(wanted)).is_none());
        assert!(rustc_check("rustc", "", Some("rustc 1.95.0")).is_none());
        for here in [None, Some("rustc 1.95.0")] {
            let found = rustc_check("rustc", wanted, here);
            assert!(found.is_some_and(|it| it.text().contains(wanted)));
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.write(
            "boot/config-7.3.4",
            "CONFIG_CC_VERSION_TEXT=\"x86_64-linux-gnu-gcc-14 (Debian 14.2.0) 14.2.0\"\n",
        )?;
        let system = tree.system();
        let found = compilers(&system, &Kernel::of(&system));
        for remedy in [
            "sudo apt install rustc rust-src",
            "sudo apt install bindgen",
            "sudo apt install gcc-14",
        ] {
            assert!(has(&found, Level::Problem, remedy), "{remedy}: {found:?}");
        }
        Ok(())
    }
}
