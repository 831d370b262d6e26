// SPDX-License-Identifier: GPL-2.0

//! A machine that is only files: the program sees a /proc, /sys, /etc and /dev/dma_heap of the
//! test's in a mount namespace of its own.

#![allow(dead_code, reason = "each test uses a part of it")]

use assert_cmd::Command;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;
use tempfile::TempDir;

/// What the namespace has instead of the machine's own.
const FOLDERS: [&str; 4] = ["proc", "sys", "etc", "dev/dma_heap"];

/// Mounts the folders of $1, with devices that stand for heaps' nodes and a few others, and runs
/// the rest.
const ENTER: &str = r#"
set -e
root=$1
shift
while read -r node device; do
	[ -z "$node" ] || mount --bind "$device" "$root/dev/dma_heap/$node"
done <"$root/nodes"
for device in null random; do
	touch "$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
for folder in etc sys proc dev; do
	mount --rbind "$root/$folder" "/$folder"
done
exec "$@"
"#;

/// Runs the rest $1 times, and prints the microseconds of each.
const TIMES: &str = r#"
count=$1
shift
while [ "$count" -gt 0 ]; do
	begin=${EPOCHREALTIME/[^0-9]/}
	"$@" >/dev/null || exit
	echo $((${EPOCHREALTIME/[^0-9]/} - begin))
	count=$((count - 1))
done
"#;

/// Devices whose numbers heaps have here: they may be opened, and have no such ioctls.
const DEVICES: [(&str, &str); 3] = [
    ("/dev/null", "1:3"),
    ("/dev/zero", "1:5"),
    ("/dev/full", "1:7"),
];

/// What asks for a namespace here.
static NAMESPACE: OnceLock<&[&str]> = OnceLock::new();

/// Mounts stay in a namespace, unless it is one in another root: that is no mount, so the kernel
/// refuses to change how mounts spread. The lab's root has mounts that are private already.
fn namespace() -> &'static [&'static str] {
    let mut usual = std::process::Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        usual.arg("--map-root-user");
    }
    let output = usual.args(["--mount", "true"]).output();
    match output {
        Ok(output) if output.stderr.ends_with(b"Invalid argument\n") => {
            &["--mount", "--propagation", "unchanged"]
        }
        _ => &["--mount"],
    }
}

/// The machine.
pub(crate) struct FakeMachine {
    root: TempDir,
    nodes: usize,
}

impl FakeMachine {
    /// One with nothing.
    pub(crate) fn new() -> io::Result<Self> {
        let root = TempDir::new()?;
        // Others may look into it.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))?;
        for folder in FOLDERS {
            fs::create_dir_all(root.path().join(folder))?;
        }
        fs::write(root.path().join("nodes"), "")?;
        Ok(Self { root, nodes: 0 })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// Writes a file, given by its path in the machine.
    pub(crate) fn file(&self, path: &str, text: &str) -> io::Result<()> {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(path, text)
    }

    /// What a file has now.
    pub(crate) fn text(&self, path: &str) -> io::Result<String> {
        fs::read_to_string(self.path(path))
    }

    /// Makes a symbolic link.
    pub(crate) fn link(&self, path: &str, target: &str) -> io::Result<()> {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        std::os::unix::fs::symlink(target, path)
    }

    /// Adds a heap of the module, with its node and attributes.
    pub(crate) fn heap(&mut self, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
        let Some((device, number)) = DEVICES.get(self.nodes) else {
            return Err(io::Error::other("no more devices that stand for heaps"));
        };
        self.nodes += 1;
        let nodes = self.text("nodes")?;
        self.file("nodes", &format!("{nodes}{name} {device}\n"))?;
        self.file(&format!("/dev/dma_heap/{name}"), "")?;
        let sysfs = format!("/sys/class/dma_heap/{name}");
        self.link(&format!("/sys/dev/char/{number}"), &sysfs)?;
        self.file(&format!("{sysfs}/dev"), &format!("{number}\n"))?;
        for (attribute, value) in attributes {
            self.file(&format!("{sysfs}/{attribute}"), &format!("{value}\n"))?;
        }
        Ok(())
    }

    /// Adds a process.
    pub(crate) fn process(&self, pid: u32, command: &str) -> io::Result<()> {
        let zeroes = "0 ".repeat(48);
        self.file(
            &format!("/proc/{pid}/stat"),
            &format!("{pid} ({command}) S 1 {pid} {pid} {zeroes}\n"),
        )?;
        self.file(&format!("/proc/{pid}/maps"), "")?;
        for folder in ["fd", "fdinfo"] {
            fs::create_dir_all(self.path(&format!("/proc/{pid}/{folder}")))?;
        }
        Ok(())
    }

    /// Has a process open a dma-buf.
    pub(crate) fn descriptor(&self, pid: u32, fd: u32, buffer: &FakeBuffer<'_>) -> io::Result<()> {
        let FakeBuffer {
            inode,
            size,
            exporter,
            name,
        } = buffer;
        self.link(&format!("/proc/{pid}/fd/{fd}"), &format!("/dmabuf:{name}"))?;
        let mut text = format!(
            "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t{inode}\nsize:\t{size}\ncount:\t2\n\
             exp_name:\t{exporter}\n"
        );
        if !name.is_empty() {
            text += &format!("name:\t{name}\n");
        }
        self.file(&format!("/proc/{pid}/fdinfo/{fd}"), &text)
    }

    /// Has a process map a dma-buf, beside ordinary memory.
    pub(crate) fn mapping(&self, pid: u32, start: u64, buffer: &FakeBuffer<'_>) -> io::Result<()> {
        let path = format!("/proc/{pid}/maps");
        let before = self.text(&path)?;
        let end = start + buffer.size;
        let (inode, name) = (buffer.inode, buffer.name);
        self.file(
            &path,
            &format!(
                "{before}00400000-00401000 r-xp 00000000 fe:01 1234                               \
                 /usr/bin/program\n{start:x}-{end:x} rw-s 00000000 00:0a {inode}                  \
                 /dmabuf:{name}\n"
            ),
        )
    }

    /// The program, on this machine.
    pub(crate) fn dmaheap(&self, arguments: &[&str]) -> Command {
        Command::from_std(self.command(arguments))
    }

    /// The same, for a test that looks at it while it runs.
    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.inside(env!("CARGO_BIN_EXE_dmaheap"));
        command.args(arguments);
        command
    }

    /// Any program, on this machine.
    fn inside(&self, program: &str) -> std::process::Command {
        let mut command = std::process::Command::new("unshare");
        command.args(*NAMESPACE.get_or_init(namespace));
        // Who is not root is root of a namespace.
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command
            .args(["sh", "-c", ENTER, "enter"])
            .arg(self.root.path())
            .arg(program);
        command
    }

    /// How long it takes, in microseconds, each of so many times.
    pub(crate) fn times(&self, count: usize, arguments: &[&str]) -> io::Result<Vec<u64>> {
        let output = self
            .inside("bash")
            .args(["-c", TIMES, "times", &count.to_string()])
            .arg(env!("CARGO_BIN_EXE_dmaheap"))
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        said.lines()
            .map(|line| line.parse().map_err(io::Error::other))
            .collect()
    }

    /// What it prints, if it says nothing beside that and ends well.
    pub(crate) fn output(&self, arguments: &[&str]) -> io::Result<String> {
        let output = self.dmaheap(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || !said.is_empty() {
            return Err(io::Error::other(format!("{}: {said}", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A buffer as /proc shows it.
#[derive(Clone, Copy)]
pub(crate) struct FakeBuffer<'a> {
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) exporter: &'a str,
    pub(crate) name: &'a str,
}
