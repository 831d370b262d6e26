// SPDX-License-Identifier: GPL-2.0

//! Whether the kernel takes signed modules only, and ours is one that it takes.

use super::dkms;
use super::kernel::Kernel;
use super::module::Module;
use super::module_file::ModuleFile;
use super::report::Finding;
use super::report::Topic;
use super::report::quoted;
use super::system::System;

const EFI: &str = "/sys/firmware/efi/efivars";
/// UEFI's variable, with the number of whoever has defined it.
const SECURE_BOOT: &str = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// The lists of certificates that a machine trusts: shim's, and the firmware's own.
const TRUSTED: [&str; 2] = ["MokListRT", "db-"];
/// DKMS's key.
const PUBLIC: &str = "/var/lib/dkms/mok.pub";
const PRIVATE: &str = "/var/lib/dkms/mok.key";
const ENROL: &str = "sudo mokutil --import /var/lib/dkms/mok.pub && sudo reboot";

pub(super) fn findings(system: &System, kernel: &Kernel, module: &Module) -> Vec<Finding> {
    let Some(why) = enforced(system) else {
        let text = "the kernel takes modules without a signature, too";
        return vec![Finding::ok(Topic::Signature, text)];
    };
    let text = format!("the kernel accepts only signed modules ({why})");
    match module.file() {
        _ if module.is_loaded() => vec![Finding::ok(
            Topic::Signature,
            format!("{text}, and has accepted this one"),
        )],
        Some(file) => of_file(system, kernel, file, &text),
        None => vec![Finding::note(
            Topic::Signature,
            format!("{text}: DKMS signs the module, `make` does not"),
        )],
    }
}

/// What makes the kernel refuse modules whose signature it does not know.
fn enforced(system: &System) -> Option<&'static str> {
    if system
        .text("/sys/module/module/parameters/sig_enforce")
        .as_deref()
        == Some("Y")
    {
        return Some("module.sig_enforce");
    }
    match system.text("/sys/kernel/security/lockdown") {
        // The one in force stands in brackets.
        Some(modes) => {
            (!modes.is_empty() && !modes.contains("[none]")).then_some("Secure Boot, lockdown")
        }
        // Whether securityfs is mounted or not, Debian's kernels lock down then.
        None => secure_boot(system).then_some("Secure Boot"),
    }
}

fn secure_boot(system: &System) -> bool {
    let value = system.bytes(&format!("{EFI}/{SECURE_BOOT}"));
    // Four bytes of attributes come first.
    value.is_some_and(|value| value.get(4) == Some(&1))
}

fn of_file(system: &System, kernel: &Kernel, file: &ModuleFile, text: &str) -> Vec<Finding> {
    let path = file.path();
    let mut findings = Vec::new();
    if file.is_signed() == Some(false) {
        findings.push(Finding::problem(
            Topic::Signature,
            format!("{text}, and {path} is not signed: modules built with make are not"),
            sign(system, kernel, path),
        ));
    }
    match is_trusted(system) {
        Some(false) => findings.push(Finding::problem(
            Topic::Signature,
            format!(
                "{text}, and nothing says that the machine trusts DKMS's key; after the import, \
                 the firmware asks for the password given there"
            ),
            ENROL,
        )),
        // What is not signed at all is the matter then.
        _ if !findings.is_empty() => {}
        Some(true) => findings.push(Finding::ok(
            Topic::Signature,
            format!("{text}, and the machine trusts DKMS's key"),
        )),
        None => findings.push(Finding::note(
            Topic::Signature,
            format!("{text}; whose key {path} is signed with is not known here"),
        )),
    }
    findings
}

/// DKMS signs what it builds. Where its key is there already, a file that is not
/// packed can be signed as it is.
fn sign(system: &System, kernel: &Kernel, path: &str) -> String {
    let file = quoted(path);
    let tool = format!("{}/build/scripts/sign-file", kernel.modules());
    if system.exists(PRIVATE) && system.exists(&tool) && path.ends_with(".ko") {
        return format!("sudo {tool} sha256 {PRIVATE} {PUBLIC} {file}");
    }
    let Some(version) = dkms::newest(system) else {
        return format!("sudo rm {file} && {}", dkms::PACKAGE);
    };
    let which = format!("-m rust-dma-heap -v {version} -k {}", kernel.release());
    format!("sudo rm {file}; sudo dkms build --force {which} && sudo dkms install --force {which}")
}

/// Whether DKMS's certificate is in one of the machine's lists. [`None`] if DKMS
/// has none, or it cannot be read.
fn is_trusted(system: &System) -> Option<bool> {
    let certificate = system.bytes(PUBLIC).filter(|it| !it.is_empty())?;
    let lists = system.names(EFI);
    Some(
        lists
            .iter()
            .filter(|name| TRUSTED.iter().any(|start| name.starts_with(start)))
            .filter_map(|name| system.bytes(&format!("{EFI}/{name}")))
            .any(|list| list.windows(certificate.len()).any(|it| it == certificate)),
    )
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::super::tree::Tree;
    use super::*;
    use crate::doctor::report;

    const FILE: &str = "lib/modules/7.3.4/updates/dkms/rust_dma_heap.ko";
    const ENFORCE: &str = "sys/module/module/parameters/sig_enforce";
    const LOCKDOWN: &str = "sys/kernel/security/lockdown";

    fn of(tree: &Tree) -> Vec<Finding> {
        let system = tree.system();
        let kernel = Kernel::of(&system);
        let module = Module::of(&system, &kernel);
        findings(&system, &kernel, &module)
    }

    fn is(tree: &Tree, level: Level, part: &str) -> bool {
        report::is_one(&of(tree), level, part)
    }

    /// Refused: the module is there, but not loaded.
    fn enforcing(content: &str) -> std::io::Result<Tree> {
        let tree = Tree::with_heaps()?;
        tree.unload()?;
        tree.remove("lib/modules/7.3.4/updates")?;
        tree.write(FILE, content)?;
        tree.write(ENFORCE, "Y\n")?;
        Ok(tree)
    }

    #[test]
    fn what_enforces_signatures() -> std::io::Result<()> {
        let tree = Tree::new()?;
        let why = |tree: &Tree| enforced(&tree.system());
        let variable = format!("sys/firmware/efi/efivars/{SECURE_BOOT}");
        assert_eq!(why(&tree), None);
        tree.write(&variable, b"\x06\0\0\0\0")?;
        assert_eq!(why(&tree), None);
        tree.write(&variable, b"\x06\0\0\0\x01")?;
        assert_eq!(why(&tree), Some("Secure Boot"));
        tree.write(LOCKDOWN, "[none] integrity confidentiality\n")?;
        assert_eq!(why(&tree), None);
        tree.write(LOCKDOWN, "none [integrity] confidentiality\n")?;
        assert_eq!(why(&tree), Some("Secure Boot, lockdown"));
        tree.write(ENFORCE, "Y\n")?;
        assert_eq!(why(&tree), Some("module.sig_enforce"));
        Ok(())
    }

    #[test]
    fn an_unsigned_module_is_signed() -> std::io::Result<()> {
        let tree = enforcing("module")?;
        let file = "/lib/modules/7.3.4/updates/dkms/rust_dma_heap.ko";
        assert!(is(&tree, Level::Problem, "is not signed"));
        let remedy = format!("sudo rm {file} && {}", dkms::PACKAGE);
        assert!(is(&tree, Level::Problem, &remedy));
        tree.write("var/lib/dkms/rust-dma-heap/1.0/source/dkms.conf", "")?;
        let remedy = format!(
            "sudo rm {file}; sudo dkms build --force -m rust-dma-heap -v 1.0 -k 7.3.4 && sudo dkms \
             install --force -m rust-dma-heap -v 1.0 -k 7.3.4"
        );
        assert!(is(&tree, Level::Problem, &remedy));
        tree.write("var/lib/dkms/mok.key", "")?;
        tree.write("lib/modules/7.3.4/build/scripts/sign-file", "")?;
        let remedy = format!(
            "sudo /lib/modules/7.3.4/build/scripts/sign-file sha256 /var/lib/dkms/mok.key \
             /var/lib/dkms/mok.pub {file}"
        );
        assert!(is(&tree, Level::Problem, &remedy));
        // The key is not known either.
        tree.write("var/lib/dkms/mok.pub", "CERTIFICATE")?;
        let found = of(&tree);
        let remedies: Vec<_> = found.iter().map(Finding::remedy).collect();
        assert_eq!(remedies, [&remedy, ENROL]);
        Ok(())
    }

    #[test]
    fn the_machine_must_know_the_key() -> std::io::Result<()> {
        let tree = enforcing("module~Module signature appended~\n")?;
        assert!(is(&tree, Level::Note, "is not known here"));
        tree.write("var/lib/dkms/mok.pub", "CERTIFICATE")?;
        assert!(is(&tree, Level::Problem, ENROL));
        tree.write("sys/firmware/efi/efivars/dbx-1", "a CERTIFICATE")?;
        assert!(is(&tree, Level::Problem, ENROL));
        for list in ["db-1", "MokListRT-2", "MokListRT1-2"] {
            let path = format!("sys/firmware/efi/efivars/{list}");
            tree.write(&path, "a CERTIFICATE, another")?;
            assert!(is(&tree, Level::Ok, "trusts DKMS's key"), "{list}");
            tree.remove(&path)?;
        }
        Ok(())
    }

    #[test]
    fn nothing_is_to_be_done_where_it_is_loaded_or_not_asked_for() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        assert!(is(&tree, Level::Ok, "without a signature, too"));
        tree.write(ENFORCE, "Y\n")?;
        assert!(is(&tree, Level::Ok, "has accepted this one"));
        tree.unload()?;
        tree.remove("lib/modules/7.3.4/updates")?;
        assert!(is(&tree, Level::Note, "DKMS signs"));
        Ok(())
    }
}
