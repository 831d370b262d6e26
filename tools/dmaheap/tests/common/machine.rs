// SPDX-License-Identifier: GPL-2.0

//! Machines for the real program: a folder that it takes for the whole machine.
//!
//! The program has no switch for that. It runs with the folder as its root: by chroot
//! where the test may do so, else in namespaces of its own. (To mount folders over /proc,
//! /sys and so on would need all of these places on the machine that tests. Containers
//! and the lab's root have no /lib/modules, and in the lab's root, itself a chroot, the
//! kernel allows no user namespace.)

use super::Result;
use assert_cmd::Command;
use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::makedev;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use tempfile::TempDir;

/// Who runs the program: somebody in no group but the own one.
pub(crate) const USER: u32 = 1000;
/// The group that the udev rules give heaps to.
pub(crate) const VIDEO: u32 = 44;

const PROGRAM: &str = "/usr/bin/dmaheap";
/// Where the shared libraries are, if the program needs any.
const LIBRARIES: &str = "/libraries";

/// Ways to run a program in another root, as the user. The first that works is taken.
const WAYS: [&[&str]; 2] = [
    &["chroot", "--userspec=1000:1000", "--groups="],
    &[
        "unshare",
        "--user",
        "--map-user=1000",
        "--map-group=1000",
        "--mount",
        "--root",
    ],
];

/// What they say where the kernel, or the administrator, does not allow it.
const REFUSALS: [&str; 3] = [
    "Operation not permitted",
    "Permission denied",
    "No space left on device",
];

/// A machine.
pub(crate) struct Machine {
    folder: TempDir,
    way: &'static [&'static str],
    loader: Option<String>,
    number: (u32, u32),
}

impl Machine {
    /// A machine with only the program on it. [`None`], and the reason is printed, if
    /// programs cannot run in another root here.
    pub(crate) fn new() -> Result<Option<Self>> {
        // In the folder of the build: /tmp may be mounted so that it has no devices.
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let mut machine = Self {
            folder,
            way: &[],
            loader: None,
            number: (0, 0),
        };
        machine.install()?;
        machine.number = match machine.device("probe", (1, 3)) {
            Ok(()) => (1, 3),
            // Whoever may not make a device may make this one.
            Err(_) => (0, 0),
        };
        let _ = std::fs::remove_file(machine.path("probe"));
        let mut reasons = String::new();
        for way in WAYS {
            machine.way = way;
            let output = machine.command(&["--version"]).output()?;
            if output.status.success() {
                return Ok(Some(machine));
            }
            let reason = String::from_utf8_lossy(&output.stderr);
            // Any other failure is one of this test.
            if !REFUSALS.iter().any(|text| reason.contains(text)) {
                return Err(format!("{}: {reason}", way.concat()).into());
            }
            reasons += &reason;
        }
        println!("skipped: {reasons}");
        Ok(None)
    }

    /// Brings the program, and the libraries that the loader would take for it.
    fn install(&mut self) -> Result {
        let program = self.place(PROGRAM)?;
        let built = env!("CARGO_BIN_EXE_dmaheap");
        // A copy of a program with all its symbols takes long.
        if std::fs::hard_link(built, &program).is_err() {
            std::fs::copy(built, &program)?;
        }
        // A static program is none of the loader's, and tells its version.
        let output = Command::new(built)
            .env("LD_TRACE_LOADED_OBJECTS", "1")
            .arg("--version")
            .output()?;
        for word in String::from_utf8(output.stdout)?.split_whitespace() {
            let Some((_, name)) = word.rsplit_once('/') else {
                continue;
            };
            let here = format!("{LIBRARIES}/{name}");
            std::fs::copy(word, self.place(&here)?)?;
            if name.starts_with("ld-") {
                self.loader = Some(here);
            }
        }
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.way.iter();
        let mut command = Command::new(words.next().copied().unwrap_or_default());
        command.env("LC_ALL", "C");
        command.args(words).arg(self.folder.path());
        if let Some(loader) = &self.loader {
            command.args([loader, "--library-path", LIBRARIES]);
        }
        command.arg(PROGRAM).args(arguments);
        command
    }

    /// Runs `dmaheap doctor` on it.
    pub(crate) fn doctor(&self, arguments: &[&str]) -> Command {
        self.command(&[&["doctor"], arguments].concat())
    }

    /// The number that devices of this machine have.
    pub(crate) fn number(&self) -> String {
        format!("{}:{}", self.number.0, self.number.1)
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// A path whose folder is there.
    fn place(&self, path: &str) -> Result<PathBuf> {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        Ok(path)
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> Result {
        Ok(std::fs::write(self.place(path)?, text)?)
    }

    pub(crate) fn link(&self, path: &str, to: &str) -> Result {
        Ok(std::os::unix::fs::symlink(to, self.place(path)?)?)
    }

    /// Removes a file, or a folder with all that is in it.
    pub(crate) fn remove(&self, path: &str) -> Result {
        let path = self.path(path);
        if path.is_dir() {
            std::fs::remove_dir_all(path)?;
        } else {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Makes a node that everybody may open.
    pub(crate) fn node(&self, path: &str) -> Result {
        self.device(path, self.number)
    }

    fn device(&self, path: &str, (major, minor): (u32, u32)) -> Result {
        let place = self.place(path)?;
        let kind = FileType::CharacterDevice;
        rustix::fs::mknodat(CWD, place, kind, Mode::empty(), makedev(major, minor))?;
        self.chmod(path, 0o666)
    }

    pub(crate) fn chmod(&self, path: &str, mode: u32) -> Result {
        let rights = std::fs::Permissions::from_mode(mode);
        Ok(std::fs::set_permissions(self.path(path), rights)?)
    }

    /// Gives a file to root and a group. That takes root, and a user who is another also
    /// to the kernel.
    pub(crate) fn chown(&self, path: &str, group: u32) -> Result {
        if self.way != WAYS[0] {
            return Err("in a user namespace the user is the file's owner".into());
        }
        Ok(std::os::unix::fs::chown(
            self.path(path),
            Some(0),
            Some(group),
        )?)
    }
}
