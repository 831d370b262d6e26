// SPDX-License-Identifier: GPL-2.0

//! Which heaps there are, and what sysfs says of them.

use crate::error::Error;
use rustix::fs::FileType;
use rustix::fs::Stat;
use rustix::io::Errno;
use std::path::Path;
use std::path::PathBuf;

/// Where heap nodes are.
pub const HEAP_DIR: &str = "/dev/dma_heap";

/// The module whose heaps have [`Attributes`].
pub const MODULE_NAME: &str = "rust_dma_heap";

/// The classes of heaps in sysfs: the kernel's own, and the module's where that
/// one is taken.
const CLASSES: [&str; 2] = ["/sys/class/dma_heap", "/sys/class/rust_dma_heap"];

/// What a heap of the `rust_dma_heap` module says of itself in sysfs.
///
/// An attribute that is missing or cannot be understood is `None`, since the
/// module may be of another version than this crate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Every buffer is one physically contiguous range.
    pub contiguous: Option<bool>,
    /// The CPU maps buffers through its caches.
    pub cacheable: Option<bool>,
    /// Bytes that all buffers together may have.
    pub limit: Option<u64>,
    /// Bytes that the buffers of one user may have.
    pub user_limit: Option<u64>,
    /// Bytes that all living buffers have.
    pub used: Option<u64>,
    /// Bytes that the pool of warm blocks may hold.
    pub pool_cap: Option<u64>,
    /// Bytes that the pool holds.
    pub pool_held: Option<u64>,
    /// Milliseconds after which an idle block leaves the pool.
    pub pool_trim_ms: Option<u64>,
}

/// A heap and what is known of it without opening its node.
///
/// One heap may have several nodes: its own and those of compatible names.
#[derive(Clone, Debug)]
pub struct HeapInfo {
    /// The heap's name.
    pub name: String,
    /// Its other names, in order: nodes of the same device number.
    pub other_names: Vec<String>,
    /// Its node.
    pub node: PathBuf,
    /// Its directory in sysfs, if sysfs shows one.
    pub sysfs: Option<PathBuf>,
    /// What the `rust_dma_heap` module says of it; `None` for the kernel's own
    /// heaps, which say nothing.
    pub attributes: Option<Attributes>,
    /// The node's owner.
    pub uid: u32,
    /// The node's group.
    pub gid: u32,
    /// The node's permission bits.
    pub mode: u32,
}

impl HeapInfo {
    /// What is known of the heap `name`, which may be one of its other names.
    ///
    /// A confined program may perhaps not read the directory. Then the others are
    /// not known.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] if there is no such node, [`Error::NotAHeap`] if it is
    /// of another kind.
    pub fn of(name: &str) -> Result<Self, Error> {
        let node = Node::of(name)?;
        let others = nodes()
            .unwrap_or_default()
            .into_iter()
            .filter(|other| other.is_of(&node) && other.name != node.name)
            .map(|other| other.name)
            .collect();
        Ok(Self::new(node, others))
    }

    fn new(node: Node, other_names: Vec<String>) -> Self {
        let device = sysfs_of(&node.stat);
        let sysfs = device.is_dir().then_some(device);
        Self {
            node: Path::new(HEAP_DIR).join(&node.name),
            name: node.name,
            other_names,
            attributes: sysfs.as_deref().and_then(Attributes::read),
            sysfs,
            uid: node.stat.st_uid,
            gid: node.stat.st_gid,
            mode: node.stat.st_mode & 0o7777,
        }
    }

    /// Whether the heap has that name, be it one of the others.
    pub fn has_name(&self, name: &str) -> bool {
        self.name == name || self.other_names.iter().any(|other| other == name)
    }

    /// Whether the `rust_dma_heap` module made this heap.
    pub fn is_ours(&self) -> bool {
        self.attributes.is_some()
    }

    /// Whether the caller may open the node.
    pub fn accessible(&self) -> bool {
        rustix::fs::access(&self.node, rustix::fs::Access::READ_OK).is_ok()
    }

    /// Reads one attribute anew, in the unit it has there. `None` if the heap
    /// has no such attribute.
    pub fn attribute(&self, name: &str) -> Option<u64> {
        number(self.sysfs.as_deref()?, name)
    }
}

impl Attributes {
    /// Reads those in a sysfs directory, `None` if there is not one of them.
    fn read(dir: &Path) -> Option<Self> {
        let attributes = Self {
            contiguous: flag(dir, "contiguous"),
            cacheable: flag(dir, "cacheable"),
            limit: number(dir, "limit"),
            user_limit: number(dir, "user_limit"),
            used: number(dir, "used"),
            pool_cap: number(dir, "pool_cap"),
            pool_held: number(dir, "pool_held"),
            pool_trim_ms: number(dir, "pool_trim_ms"),
        };
        (attributes != Self::default()).then_some(attributes)
    }
}

fn number(dir: &Path, name: &str) -> Option<u64> {
    std::fs::read_to_string(dir.join(name))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn flag(dir: &Path, name: &str) -> Option<bool> {
    match number(dir, name)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// A file of the directory that is a character device.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    stat: Stat,
}

impl Node {
    fn of(name: &str) -> Result<Self, Error> {
        let path = Path::new(HEAP_DIR).join(name);
        let stat = rustix::fs::stat(&path).map_err(|errno| Error::Open {
            path: path.clone(),
            errno,
        })?;
        if !FileType::from_raw_mode(stat.st_mode).is_char_device() {
            return Err(Error::NotAHeap { path });
        }
        Ok(Self {
            name: name.to_owned(),
            stat,
        })
    }

    fn is_of(&self, other: &Self) -> bool {
        self.stat.st_rdev == other.stat.st_rdev
    }
}

/// A device's directory in sysfs: a link, whose target's name is the heap's own.
fn sysfs_of(stat: &Stat) -> PathBuf {
    PathBuf::from(format!(
        "/sys/dev/char/{}:{}",
        rustix::fs::major(stat.st_rdev),
        rustix::fs::minor(stat.st_rdev)
    ))
}

/// All nodes, by name.
fn nodes() -> Result<Vec<Node>, Error> {
    let fail = |error: std::io::Error| Error::Discover {
        path: HEAP_DIR.into(),
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    };
    let entries = match std::fs::read_dir(HEAP_DIR) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut nodes = Vec::new();
    for entry in entries {
        let name = entry.map_err(fail)?.file_name();
        // Heap names come from the kernel and are ASCII; a file of another
        // kind, or one that vanished meanwhile, is not a heap.
        let Some(name) = name.to_str() else { continue };
        match Node::of(name) {
            Ok(node) => nodes.push(node),
            Err(Error::NotAHeap { .. }) => {}
            Err(error) if error.errno() == Some(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(nodes)
}

/// All heaps, each once, by the names that the kernel gives them. Empty if there
/// are none.
///
/// # Errors
///
/// [`Error::Discover`] if the directory exists and cannot be read.
pub fn heaps() -> Result<Vec<HeapInfo>, Error> {
    let own_name = |node: &Node| {
        let device = std::fs::canonicalize(sysfs_of(&node.stat)).ok()?;
        Some(device.file_name()?.to_str()?.to_owned())
    };
    let mut heaps: Vec<HeapInfo> = Vec::new();
    let mut left = nodes()?;
    while let Some(first) = left.first().cloned() {
        let (mut same, others): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|node| node.is_of(&first));
        left = others;
        let own = own_name(&first);
        // A heap whose own node is gone goes by the first of its other names.
        let at = same
            .iter()
            .position(|node| Some(&node.name) == own.as_ref());
        let node = same.remove(at.unwrap_or(0));
        let other_names = same.into_iter().map(|node| node.name).collect();
        heaps.push(HeapInfo::new(node, other_names));
    }
    heaps.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(heaps)
}

/// A heap as the kernel has registered it, whether it has a node or not.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The name that the kernel gives it.
    pub name: String,
    /// Its device number: major and minor.
    pub number: (u32, u32),
    /// Its directory in sysfs.
    pub sysfs: PathBuf,
    /// What the `rust_dma_heap` module says of it; `None` for the kernel's own.
    pub attributes: Option<Attributes>,
}

impl Registered {
    fn at(sysfs: PathBuf) -> Option<Self> {
        let number = std::fs::read_to_string(sysfs.join("dev")).ok()?;
        let (major, minor) = number.trim().split_once(':')?;
        Some(Self {
            name: sysfs.file_name()?.to_str()?.to_owned(),
            number: (major.parse().ok()?, minor.parse().ok()?),
            attributes: Attributes::read(&sysfs),
            sysfs,
        })
    }
}

/// All heaps that the kernel has registered, by name. One that goes meanwhile is
/// left out.
pub fn registered() -> Vec<Registered> {
    registered_below(Path::new("/"))
}

/// The same where sysfs is in `root`/sys.
pub fn registered_below(root: &Path) -> Vec<Registered> {
    let mut heaps: Vec<Registered> = CLASSES
        .iter()
        .filter_map(|class| std::fs::read_dir(root.join(class.trim_start_matches('/'))).ok())
        .flatten()
        .filter_map(|entry| Registered::at(entry.ok()?.path()))
        .collect();
    heaps.sort_by(|a, b| a.name.cmp(&b.name));
    heaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heaps_are_found_below_a_root() -> std::io::Result<()> {
        let root = std::env::temp_dir().join(format!("dma_heap-root-{}", std::process::id()));
        let heap = root.join("sys/class/rust_dma_heap/system");
        std::fs::create_dir_all(&heap)?;
        std::fs::write(heap.join("dev"), "250:1\n")?;
        std::fs::write(heap.join("cacheable"), "1\n")?;
        let found = registered_below(&root);
        std::fs::remove_dir_all(&root)?;
        let found: Vec<_> = found.iter().map(|it| (&*it.name, it.number)).collect();
        assert_eq!(found, [("system", (250, 1))]);
        Ok(())
    }

    #[test]
    fn attributes_come_from_files() -> std::io::Result<()> {
        let dir = std::env::temp_dir().join(format!("dma_heap-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        assert_eq!(Attributes::read(&dir), None);
        std::fs::write(dir.join("contiguous"), "1\n")?;
        std::fs::write(dir.join("cacheable"), "0\n")?;
        std::fs::write(dir.join("limit"), "536870912\n")?;
        std::fs::write(dir.join("user_limit"), "268435456\n")?;
        std::fs::write(dir.join("used"), "not a number\n")?;
        let read = Attributes::read(&dir);
        std::fs::remove_dir_all(&dir)?;
        assert_eq!(
            read,
            Some(Attributes {
                contiguous: Some(true),
                cacheable: Some(false),
                limit: Some(536_870_912),
                user_limit: Some(268_435_456),
                ..Attributes::default()
            })
        );
        Ok(())
    }
}
