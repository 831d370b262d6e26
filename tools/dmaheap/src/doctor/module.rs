// SPDX-License-Identifier: GPL-2.0

//! The module: built, installed, loaded, and whether what is loaded is what is
//! installed.

use super::confinement;
use super::dkms;
use super::kernel::Kernel;
use super::module_file::ModuleFile;
use super::report::Finding;
use super::report::Topic;
use super::system::System;
use super::users;
use procfs_core::KernelModules;

/// Where the kernel shows it once it is loaded.
const LOADED: &str = "/sys/module/rust_dma_heap";
const RELOAD: &str = "sudo modprobe -r rust_dma_heap && sudo modprobe rust_dma_heap";
const LOAD: &str = "sudo modprobe rust_dma_heap";

/// The module of the running kernel.
#[derive(Debug)]
pub(super) struct Module {
    loaded: bool,
    built_in: bool,
    file: Option<ModuleFile>,
}

impl Module {
    pub(super) fn of(system: &System, kernel: &Kernel) -> Self {
        // One that is built in has the folder, too, if it has parameters.
        let shown = system.is_dir(LOADED);
        let built_in = kernel.option("CONFIG_RUST_DMA_HEAP") == Some("y")
            || shown && !system.exists(&format!("{LOADED}/initstate"));
        Self {
            loaded: shown || built_in,
            built_in,
            file: ModuleFile::find(system, &kernel.modules()),
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.loaded
    }

    pub(super) fn is_built_in(&self) -> bool {
        self.built_in
    }

    /// Whether nothing needs to be built for this kernel.
    pub(super) fn is_there(&self) -> bool {
        self.loaded || self.file.is_some()
    }

    pub(super) fn file(&self) -> Option<&ModuleFile> {
        self.file.as_ref()
    }

    /// What is to be done so that nodes are looked at anew.
    pub(super) fn load_again(&self) -> &'static str {
        match (self.built_in, self.loaded) {
            (true, _) => "sudo reboot",
            (false, true) => RELOAD,
            (false, false) => LOAD,
        }
    }

    /// `blocked` says that this kernel cannot have it, or not yet, for a reason that
    /// was told before.
    pub(super) fn findings(&self, system: &System, kernel: &Kernel, blocked: bool) -> Vec<Finding> {
        if self.built_in {
            let text = "rust_dma_heap is built into the kernel";
            return vec![Finding::ok(Topic::Module, text)];
        }
        let mut findings = match (&self.file, self.loaded) {
            (Some(file), true) => vec![loaded(system, file)],
            (Some(file), false) => vec![installed(kernel, file, blocked)],
            // What is installed where, a container does not see.
            (None, true) if confinement::is_container(system) => {
                vec![Finding::ok(Topic::Module, "rust_dma_heap is loaded")]
            }
            (None, true) => vec![Finding::note(
                Topic::Module,
                "rust_dma_heap is loaded, but not installed: after the next start it is gone, \
                 unless you load it again or run `sudo make install`",
            )],
            (None, false) => vec![absent(system, kernel, blocked)],
        };
        findings.extend(self.in_use(system));
        findings
    }

    /// Who would be in the way of `modprobe -r`.
    fn in_use(&self, system: &System) -> Option<Finding> {
        let modules: KernelModules = system.parsed("/proc/modules")?;
        if modules.0.get("rust_dma_heap")?.refcount < 1 {
            return None;
        }
        let users = users::of_heaps(system);
        let text = if users.is_empty() {
            "rust_dma_heap is in use, by no process that you may look at: root sees them all; a \
             mapping or a device may hold a buffer, see /sys/kernel/debug/dma_buf/bufinfo"
                .to_owned()
        } else {
            format!(
                "rust_dma_heap is in use; these processes have a heap open or hold a buffer: {}",
                users.join(", ")
            )
        };
        Some(Finding::ok(Topic::Module, text))
    }
}

fn loaded(system: &System, file: &ModuleFile) -> Finding {
    let path = file.path();
    match is_same(system, file) {
        Some(true) => Finding::ok(
            Topic::Module,
            format!("rust_dma_heap is loaded, from {path} as it is now"),
        ),
        Some(false) => Finding::problem_if(
            false,
            Topic::Module,
            format!("rust_dma_heap is loaded, but from another build than {path}"),
            RELOAD,
        ),
        None => Finding::ok(
            Topic::Module,
            format!("rust_dma_heap is loaded, and {path} is installed"),
        ),
    }
}

/// Whether a file is what has been loaded. [`None`] if neither has anything by which
/// to tell.
fn is_same(system: &System, file: &ModuleFile) -> Option<bool> {
    for name in ["srcversion", "version"] {
        let loaded = system.text(&format!("{LOADED}/{name}"));
        if let (Some(loaded), Some(installed)) = (loaded, file.information(name)) {
            if loaded != installed {
                return Some(false);
            }
        }
    }
    // The note's head has three numbers and the four letters "GNU".
    let note = system.bytes(&format!("{LOADED}/notes/.note.gnu.build-id"))?;
    match note.get(16..) {
        Some(id) if !id.is_empty() => file.has(id),
        _ => None,
    }
}

fn installed(kernel: &Kernel, file: &ModuleFile, blocked: bool) -> Finding {
    let (path, release) = (file.path(), kernel.release());
    let magic = file.information("vermagic");
    match magic.as_deref().and_then(|it| it.split(' ').next()) {
        Some(other) if other != release => Finding::problem(
            Topic::Module,
            format!("{path} was built for the kernel {other}, not for the running {release}"),
            "make clean && make && sudo make install",
        ),
        _ => Finding::problem_if(
            !blocked,
            Topic::Module,
            format!("rust_dma_heap is installed ({path}), but not loaded"),
            LOAD,
        ),
    }
}

fn absent(system: &System, kernel: &Kernel, blocked: bool) -> Finding {
    let release = kernel.release();
    let elsewhere: Vec<String> = system
        .names("/lib/modules")
        .into_iter()
        .filter(|other| other != release)
        .filter(|other| ModuleFile::find(system, &format!("/lib/modules/{other}")).is_some())
        .collect();
    let mut text = format!("rust_dma_heap is neither built nor installed for the kernel {release}");
    if !elsewhere.is_empty() {
        text += &format!(", only for {}", elsewhere.join(", "));
    }
    if blocked {
        return Finding::note(Topic::Module, text + ": see above");
    }
    let remedy = dkms::newest(system).map_or_else(
        || dkms::PACKAGE.to_owned(),
        |version| dkms::install(&version, release),
    );
    Finding::problem(Topic::Module, text, remedy)
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::super::tree::Tree;
    use super::*;

    fn first(tree: &Tree, blocked: bool) -> std::io::Result<Finding> {
        let system = tree.system();
        let kernel = Kernel::of(&system);
        let found = Module::of(&system, &kernel).findings(&system, &kernel, blocked);
        let first = found.into_iter().next();
        first.ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    #[test]
    fn loaded_and_installed_are_compared() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        assert!(first(&tree, false)?.text().ends_with("is installed"));
        let note = b"\x04\0\0\0\x04\0\0\0\x03\0\0\0GNU\0\x11\x22\x33\x44";
        let notes = "sys/module/rust_dma_heap/notes/.note.gnu.build-id";
        tree.write(notes, note)?;
        let it = first(&tree, false)?;
        assert!(it.is(Level::Note) && it.remedy() == RELOAD, "{it:?}");
        let file = "lib/modules/7.3.4/updates/rust_dma_heap.ko";
        tree.write(file, b"\0\x11\x22\x33\x44\0srcversion=A\0")?;
        assert!(first(&tree, false)?.text().ends_with("as it is now"));
        tree.write("sys/module/rust_dma_heap/srcversion", "B\n")?;
        assert!(first(&tree, false)?.is(Level::Note));
        Ok(())
    }

    #[test]
    fn a_module_that_is_installed_can_be_loaded() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.unload()?;
        let it = first(&tree, false)?;
        assert!(it.is(Level::Problem) && it.remedy() == LOAD, "{it:?}");
        assert!(first(&tree, true)?.is(Level::Note));
        let file = "lib/modules/7.3.4/updates/rust_dma_heap.ko";
        tree.write(file, b"\0vermagic=7.3.3 SMP preempt\0")?;
        assert!(first(&tree, false)?.text().contains("kernel 7.3.3, not"));
        Ok(())
    }

    #[test]
    fn a_module_that_is_not_there_is_built() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.unload()?;
        tree.remove("lib/modules/7.3.4/updates")?;
        tree.write("lib/modules/7.3.3/updates/rust_dma_heap.ko", "")?;
        let it = first(&tree, false)?;
        assert!(it.is(Level::Problem) && it.text().ends_with("only for 7.3.3"));
        assert!(it.remedy().contains("rust-dma-heap-dkms"));
        assert!(first(&tree, true)?.is(Level::Note));
        tree.write("var/lib/dkms/rust-dma-heap/1.0/source/dkms.conf", "")?;
        assert_eq!(first(&tree, false)?.remedy(), dkms::install("1.0", "7.3.4"));
        Ok(())
    }

    #[test]
    fn built_in_it_needs_nothing() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.remove("sys/module/rust_dma_heap/initstate")?;
        tree.remove("lib/modules")?;
        let it = first(&tree, false)?;
        assert!(it.is(Level::Ok) && it.text().contains("built into"));
        Ok(())
    }

    #[test]
    fn loaded_by_hand_it_does_not_stay() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.remove("lib/modules")?;
        let it = first(&tree, false)?;
        assert!(it.is(Level::Note) && it.text().contains("not installed"));
        tree.write("run/.containerenv", "")?;
        assert!(first(&tree, false)?.is(Level::Ok));
        Ok(())
    }

    #[test]
    fn who_uses_it_is_named() -> std::io::Result<()> {
        let tree = Tree::with_heaps()?;
        tree.write("proc/modules", "rust_dma_heap 100000 1 - Live 0x0\n")?;
        tree.write("proc/77/comm", "cam\n")?;
        tree.link("proc/77/fd/5", "/dev/dma_heap/system")?;
        let system = tree.system();
        let module = Module::of(&system, &Kernel::of(&system));
        let said = |it: Option<Finding>| it.map(|it| it.text().to_owned()).unwrap_or_default();
        assert!(said(module.in_use(&system)).ends_with(": 77 cam"));
        tree.remove("proc/77")?;
        assert!(said(module.in_use(&system)).contains("bufinfo"));
        Ok(())
    }
}
