// SPDX-License-Identifier: GPL-2.0

//! An open heap and allocating from it.

use crate::buffer::Buffer;
use crate::describe::AttachedDevice;
use crate::describe::Description;
use crate::discover::HEAP_DIR;
use crate::error::Error;
use crate::sys::ioctl;
use crate::sys::raw::RawHeap;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

/// How a buffer's file descriptor is made.
#[derive(Clone, Copy, Debug)]
pub struct AllocOptions {
    /// The descriptor may be mapped for reading.
    pub read: bool,
    /// The descriptor may be mapped for writing.
    pub write: bool,
    /// The descriptor is closed by execve. On by default: a leaked descriptor
    /// keeps the whole buffer.
    pub cloexec: bool,
}

impl Default for AllocOptions {
    fn default() -> Self {
        Self {
            read: true,
            write: true,
            cloexec: true,
        }
    }
}

impl AllocOptions {
    fn flags(self) -> OFlags {
        let mut flags = match (self.read, self.write) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            // The kernel has no mode for neither; the nearest is read-only.
            (_, false) => OFlags::RDONLY,
        };
        flags.set(OFlags::CLOEXEC, self.cloexec);
        flags
    }
}

/// An open heap node.
#[derive(Debug)]
pub struct Heap {
    name: String,
    node: File,
}

impl Heap {
    /// Opens the heap `/dev/dma_heap/<name>`.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] if the node is missing or may not be opened,
    /// [`Error::NotAHeap`] if it is no character device,
    /// [`Error::BadHeapName`] if the name is no plain file name.
    pub fn open(name: &str) -> Result<Self, Error> {
        Ok(Self {
            node: open_node(name)?,
            name: name.to_owned(),
        })
    }

    /// Takes the node of the heap `name` from whoever has opened it, as a
    /// process without rights gets it from one with them.
    ///
    /// # Errors
    ///
    /// [`Error::NotAHeap`] if it is not the node that `/dev/dma_heap/<name>` is,
    /// [`Error::Open`] if that is missing or cannot be looked at,
    /// [`Error::BadHeapName`] if the name is no plain file name.
    pub fn from_fd(name: &str, node: OwnedFd) -> Result<Self, Error> {
        let path = node_path(name)?;
        let fail = |errno| Error::Open {
            path: path.clone(),
            errno,
        };
        let given = rustix::fs::fstat(&node).map_err(fail)?;
        let wanted = rustix::fs::stat(&path).map_err(fail)?;
        if !FileType::from_raw_mode(given.st_mode).is_char_device()
            || !FileType::from_raw_mode(wanted.st_mode).is_char_device()
            || given.st_rdev != wanted.st_rdev
        {
            return Err(Error::NotAHeap { path });
        }
        Ok(Self {
            node: File::from(node),
            name: name.to_owned(),
        })
    }

    /// The heap's name: its node's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Allocates a buffer of `len` bytes, rounded up to whole pages, that can
    /// be read and written and is closed by execve.
    ///
    /// # Errors
    ///
    /// [`Error::Alloc`].
    pub fn alloc(&self, len: u64) -> Result<Buffer, Error> {
        self.alloc_with(len, AllocOptions::default())
    }

    /// Allocates a buffer of `len` bytes, rounded up to whole pages.
    ///
    /// # Errors
    ///
    /// [`Error::Alloc`].
    pub fn alloc_with(&self, len: u64, options: AllocOptions) -> Result<Buffer, Error> {
        let fd =
            ioctl::alloc(self.node.as_fd(), len, options.flags().bits(), 0).map_err(|errno| {
                Error::Alloc {
                    heap: self.name.clone(),
                    len,
                    errno,
                }
            })?;
        Buffer::from_alloc(fd, options)
    }

    /// Asks what a buffer is that any heap of the module made.
    ///
    /// # Errors
    ///
    /// [`Error::Describe`]: EXDEV if another exporter made it, EINVAL if this is a heap of the
    /// kernel's own. [`Error::NotADmaBuf`] if the descriptor is of another kind.
    pub fn describe(&self, buffer: impl AsFd) -> Result<Description, Error> {
        Description::ask(self.node.as_fd(), buffer.as_fd())
    }

    /// Asks which devices were attached to buffers of any heap of the module since it was loaded,
    /// in the order in which each was first: what it demanded last, and nothing of its maps.
    ///
    /// # Errors
    ///
    /// [`Error::Describe`]: EINVAL if this is a heap of the kernel's own.
    pub fn devices(&self) -> Result<Vec<AttachedDevice>, Error> {
        AttachedDevice::ask(self.node.as_fd())
    }

    /// Opens the heap for raw requests, for tests of the kernel.
    ///
    /// # Errors
    ///
    /// As [`Heap::open`].
    pub fn open_raw(name: &str) -> Result<RawHeap, Error> {
        Ok(RawHeap::new(open_node(name)?))
    }
}

impl AsFd for Heap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.node.as_fd()
    }
}

fn node_path(name: &str) -> Result<PathBuf, Error> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(Error::BadHeapName {
            name: name.to_owned(),
        });
    }
    Ok(Path::new(HEAP_DIR).join(name))
}

fn open_node(name: &str) -> Result<File, Error> {
    let path = node_path(name)?;
    // The heap interface never looks at the node's access mode, so the least
    // that a user may have been given is enough.
    let node = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(
        |errno| Error::Open {
            path: path.clone(),
            errno,
        },
    )?;
    let stat = rustix::fs::fstat(&node).map_err(|errno| Error::Open {
        path: path.clone(),
        errno,
    })?;
    if !FileType::from_raw_mode(stat.st_mode).is_char_device() {
        return Err(Error::NotAHeap { path });
    }
    Ok(File::from(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_follow_options() {
        let mut options = AllocOptions::default();
        assert_eq!(options.flags(), OFlags::RDWR | OFlags::CLOEXEC);
        options.write = false;
        options.cloexec = false;
        assert_eq!(options.flags(), OFlags::RDONLY);
        options.write = true;
        options.read = false;
        assert_eq!(options.flags(), OFlags::WRONLY);
    }

    #[test]
    fn names_stay_in_the_directory() {
        for name in ["", ".", "..", "../null", "a/b", "a\0b"] {
            assert!(matches!(Heap::open(name), Err(Error::BadHeapName { .. })));
        }
    }

    #[test]
    fn a_file_that_is_no_node_is_refused() -> std::io::Result<()> {
        let null = || File::open("/dev/null").map(OwnedFd::from);
        // Neither under a name that no heap has, nor under none.
        assert!(Heap::from_fd("no such heap", null()?).is_err());
        assert!(matches!(
            Heap::from_fd("../null", null()?),
            Err(Error::BadHeapName { .. })
        ));
        Ok(())
    }
}
