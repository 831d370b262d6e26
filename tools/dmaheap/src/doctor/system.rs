// SPDX-License-Identifier: GPL-2.0

//! How the machine is read: each path from a root folder, so that tests have
//! machines of their own.

use procfs_core::FromRead;
use rustix::fs::FileType;
use rustix::fs::Stat;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Me {
    pub(super) uid: u32,
    pub(super) gids: Vec<u32>,
}

/// The machine.
#[derive(Debug)]
pub(super) struct System {
    root: PathBuf,
    me: Me,
}

impl System {
    /// This machine, and whoever runs the program.
    pub(super) fn here() -> Self {
        // Without its groups, somebody may still open what everybody may.
        let mut gids: Vec<u32> = rustix::process::getgroups()
            .unwrap_or_default()
            .into_iter()
            .map(rustix::fs::Gid::as_raw)
            .collect();
        gids.push(rustix::process::getgid().as_raw());
        let uid = rustix::process::getuid().as_raw();
        Self::new("/", Me { uid, gids })
    }

    pub(super) fn new(root: impl Into<PathBuf>, me: Me) -> Self {
        Self {
            root: root.into(),
            me,
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn me(&self) -> &Me {
        &self.me
    }

    /// Where a path of that machine is.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    pub(super) fn is_dir(&self, path: &str) -> bool {
        self.path(path).is_dir()
    }

    /// A file's bytes; nothing if it cannot be read.
    pub(super) fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path(path)).ok()
    }

    /// A file's text without the space around it.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = self.bytes(path)?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// A file of /proc.
    pub(super) fn parsed<T: FromRead>(&self, path: &str) -> Option<T> {
        T::from_file(self.path(path)).ok()
    }

    /// The names in a folder, in order; none if it cannot be read.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path(path))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// What a link says, without following it.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        let to = std::fs::read_link(self.path(path)).ok()?;
        Some(to.to_string_lossy().into_owned())
    }

    /// The state of a file, of that which a link leads to.
    pub(super) fn stat(&self, path: &str) -> Option<Stat> {
        rustix::fs::stat(self.path(path)).ok()
    }

    /// The file of a program that may be run.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        let runs = |path: &Path| {
            rustix::fs::stat(path)
                .is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::RegularFile)
                && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
        };
        if name.contains('/') {
            return Some(self.path(name)).filter(|path| runs(path));
        }
        let folders = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
        folders
            .split(':')
            .map(|folder| self.path(folder).join(name))
            .find(|path| runs(path))
    }

    /// What a program prints, if it succeeds.
    pub(super) fn said(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output = Command::new(self.program(program)?)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;

    #[test]
    fn paths_are_below_the_root() -> std::io::Result<()> {
        let tree = Tree::new()?;
        tree.write("proc/sys/kernel/osrelease", "7.3.4\n")?;
        tree.write("sys/b", "12\n")?;
        tree.write("sys/a", "x\n")?;
        let system = tree.system();
        assert_eq!(
            system.text("/proc/sys/kernel/osrelease").as_deref(),
            Some("7.3.4")
        );
        assert_eq!(system.names("/sys"), ["a", "b"]);
        assert_eq!(system.number("/sys/b"), Some(12));
        assert_eq!(system.number("/sys/a"), None);
        assert_eq!(system.names("/nowhere"), Vec::<String>::new());
        assert!(!system.exists("/proc/self"));
        Ok(())
    }

    #[test]
    fn programs_are_run_from_the_machine() -> std::io::Result<()> {
        let tree = Tree::new()?;
        // A script of our own could be busy: another test's child has what was open.
        tree.link("usr/bin/rustc", "/bin/echo")?;
        tree.write("usr/bin/bindgen", "not executable\n")?;
        let system = tree.system();
        assert_eq!(
            system.said("/usr/bin/rustc", &["1.85.0"]).as_deref(),
            Some("1.85.0")
        );
        assert_eq!(system.program("/usr/bin/bindgen"), None);
        Ok(())
    }
}
