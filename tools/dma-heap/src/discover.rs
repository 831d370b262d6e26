// SPDX-License-Identifier: GPL-2.0

//! Which heaps there are, and what sysfs says of them.

use crate::error::Error;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::path::Path;
use std::path::PathBuf;

/// Where heap nodes are.
pub const HEAP_DIR: &str = "/dev/dma_heap";

/// The module whose heaps have [`Attributes`].
pub const MODULE_NAME: &str = "rust_dma_heap";

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

/// A heap node and what is known of it without opening it.
#[derive(Clone, Debug)]
pub struct HeapInfo {
    /// The heap's name.
    pub name: String,
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
    /// What is known of the heap `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] if there is no such node, [`Error::NotAHeap`] if it is
    /// of another kind.
    pub fn of(name: &str) -> Result<Self, Error> {
        let node = Path::new(HEAP_DIR).join(name);
        let stat = rustix::fs::stat(&node).map_err(|errno| Error::Open {
            path: node.clone(),
            errno,
        })?;
        if !FileType::from_raw_mode(stat.st_mode).is_char_device() {
            return Err(Error::NotAHeap { path: node });
        }
        let device = PathBuf::from(format!(
            "/sys/dev/char/{}:{}",
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev)
        ));
        let sysfs = device.is_dir().then_some(device);
        Ok(Self {
            name: name.to_owned(),
            attributes: sysfs.as_deref().and_then(Attributes::read),
            node,
            sysfs,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & 0o7777,
        })
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

/// All heaps, by name. Empty if there are none.
///
/// # Errors
///
/// [`Error::Discover`] if the directory exists and cannot be read.
pub fn heaps() -> Result<Vec<HeapInfo>, Error> {
    let fail = |error: std::io::Error| Error::Discover {
        path: HEAP_DIR.into(),
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    };
    let entries = match std::fs::read_dir(HEAP_DIR) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut heaps = Vec::new();
    for entry in entries {
        let name = entry.map_err(fail)?.file_name();
        // Heap names come from the kernel and are ASCII; a file of another
        // kind, or one that vanished meanwhile, is not a heap.
        let Some(name) = name.to_str() else { continue };
        match HeapInfo::of(name) {
            Ok(heap) => heaps.push(heap),
            Err(Error::NotAHeap { .. }) => {}
            Err(error) if error.errno() == Some(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    heaps.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(heaps)
}

#[cfg(test)]
mod tests {
    use super::*;

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
