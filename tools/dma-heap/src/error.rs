// SPDX-License-Identifier: GPL-2.0

//! The crate's error: what failed, with which errno, and what to do about it.

use rustix::io::Errno;
use std::path::PathBuf;

/// Why something with a heap or a buffer failed.
///
/// The text says what to do next, so it can be shown to a user as it is.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The heaps could not be listed.
    #[error("cannot read {}: {errno}", path.display())]
    Discover {
        /// What was read.
        path: PathBuf,
        /// Why that failed.
        errno: Errno,
    },
    /// A heap's node could not be opened.
    #[error("cannot open heap {}: {errno}; {}", path.display(), open_advice(*errno))]
    Open {
        /// The node.
        path: PathBuf,
        /// Why that failed.
        errno: Errno,
    },
    /// The node is a file of another kind.
    #[error(
        "{} is not a character device, so it is no heap; `dmaheap list` shows the heaps",
        path.display()
    )]
    NotAHeap {
        /// The file.
        path: PathBuf,
    },
    /// The name leads out of the heap directory.
    #[error("{name:?} is not a heap name; `dmaheap list` shows the names")]
    BadHeapName {
        /// The name as given.
        name: String,
    },
    /// An allocation failed.
    #[error("cannot allocate {len} bytes from heap {heap}: {errno}; {}", alloc_advice(*errno))]
    Alloc {
        /// The heap's name.
        heap: String,
        /// Bytes asked for.
        len: u64,
        /// Why that failed.
        errno: Errno,
    },
    /// The buffer could not be mapped.
    #[error("cannot map {len} bytes at offset {offset} of a buffer: {errno}; {}", map_advice(*errno))]
    Map {
        /// Bytes into the buffer.
        offset: u64,
        /// Bytes to map.
        len: u64,
        /// Why that failed.
        errno: Errno,
    },
    /// A bracket could not be started or ended. What was read or written in it
    /// may be stale.
    #[error(
        "cannot {} CPU access to a buffer: {errno}; what was read or written in it may be stale; \
         the kernel log may tell why",
        if *end { "end" } else { "start" }
    )]
    Sync {
        /// Whether this was the end of a bracket.
        end: bool,
        /// Why that failed.
        errno: Errno,
    },
    /// An access that the mapping has no bytes for.
    #[error("{len} bytes at offset {offset} are not inside a mapping of {size} bytes")]
    OutOfBounds {
        /// Bytes into the mapping.
        offset: usize,
        /// Bytes to access.
        len: usize,
        /// Bytes mapped.
        size: usize,
    },
    /// Access that the buffer was not allocated for.
    #[error(
        "the mapping cannot be {}; allocate the buffer with an access mode that allows it",
        if *write { "written" } else { "read" }
    )]
    AccessMode {
        /// Whether it was to be written.
        write: bool,
    },
    /// The buffer could not be named.
    #[error("cannot name a buffer {name:?}: {errno}; a name has at most 31 bytes and no NUL")]
    SetName {
        /// The name.
        name: String,
        /// Why that failed.
        errno: Errno,
    },
    /// A heap's node did not say what a buffer is.
    #[error("cannot ask what a buffer is: {errno}; {}", describe_advice(*errno))]
    Describe {
        /// Why that failed.
        errno: Errno,
    },
    /// A descriptor is not that of a dma-buf.
    #[error("the descriptor is not a dma-buf; pass one that a heap or a driver exported")]
    NotADmaBuf,
    /// A descriptor of a process could not be taken.
    #[error("cannot take descriptor {fd} of process {pid}: {errno}; {}", take_advice(*errno))]
    Take {
        /// The process.
        pid: u32,
        /// Its descriptor.
        fd: u32,
        /// Why that failed.
        errno: Errno,
    },
    /// A buffer could not be sent to or received from another process.
    #[error("cannot pass a buffer over a socket: {errno}; {}", share_advice(*errno))]
    Share {
        /// Why that failed.
        errno: Errno,
    },
    /// The test importer could not be opened.
    #[error("cannot open {}: {errno}; {}", crate::importer::NODE, importer_advice(*errno))]
    ImporterOpen {
        /// Why that failed.
        errno: Errno,
    },
    /// The test importer, or the exporter behind it, refused something.
    #[error(
        "cannot {action} through the test importer: {errno}; {}",
        crate::importer::advice(action, *errno)
    )]
    Importer {
        /// What was asked for.
        action: &'static str,
        /// Why that failed.
        errno: Errno,
    },
    /// A capture device could not be opened.
    #[error("cannot open {}: {errno}; {}", path.display(), capture_advice(*errno))]
    CaptureOpen {
        /// The device.
        path: PathBuf,
        /// Why that failed.
        errno: Errno,
    },
    /// A capture device, or the exporter behind it, refused something.
    #[error("cannot {action} at a capture device: {errno}; {}", capture_advice(*errno))]
    Capture {
        /// What was asked for.
        action: &'static str,
        /// Why that failed.
        errno: Errno,
    },
    /// The buffer's size or inode could not be read.
    #[error("cannot examine a buffer: {errno}; is the descriptor a dma-buf?")]
    Examine {
        /// Why that failed.
        errno: Errno,
    },
}

impl Error {
    /// The kernel's answer behind this error, if there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Discover { errno, .. }
            | Self::Open { errno, .. }
            | Self::Alloc { errno, .. }
            | Self::Map { errno, .. }
            | Self::Sync { errno, .. }
            | Self::SetName { errno, .. }
            | Self::Describe { errno }
            | Self::Take { errno, .. }
            | Self::Share { errno }
            | Self::ImporterOpen { errno }
            | Self::Importer { errno, .. }
            | Self::CaptureOpen { errno, .. }
            | Self::Capture { errno, .. }
            | Self::Examine { errno } => Some(*errno),
            Self::NotAHeap { .. }
            | Self::NotADmaBuf
            | Self::BadHeapName { .. }
            | Self::OutOfBounds { .. }
            | Self::AccessMode { .. } => None,
        }
    }
}

fn open_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::NOENT => {
            "`dmaheap list` shows all heaps; if this one is missing, load the module: `modprobe \
             rust_dma_heap`"
        }
        Errno::ACCESS | Errno::PERM => {
            "run as root, or give your group the node with a udev rule such as \
             SUBSYSTEM==\"rust_dma_heap\", GROUP=\"video\", MODE=\"0660\" \
             (SUBSYSTEM==\"dma_heap\" for the kernel's own)"
        }
        Errno::NODEV | Errno::NXIO => {
            "the node has no driver; the module was probably unloaded. Load it again with \
             `modprobe rust_dma_heap`"
        }
        Errno::MFILE | Errno::NFILE => "raise the limit of open files (`ulimit -n`)",
        _ => "the kernel log may tell more (`dmesg`)",
    }
}

fn alloc_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::NOMEM => {
            "ask for less, free other buffers, or raise the heap's limit (`dmaheap list` shows it, \
             its sysfs attribute `limit` sets it); a CMA area has only the size given to the \
             kernel with `cma=`"
        }
        Errno::DQUOT => {
            "your user's limit of this heap is reached: free buffers, have root raise the heap's \
             sysfs attribute `user_limit`, or run with CAP_SYS_RESOURCE"
        }
        Errno::INVAL => "the length must be more than zero and fit the kernel's address space",
        Errno::NOTTY => "that node is not a dma-buf heap",
        Errno::NODEV => "the heap is gone: load the module again with `modprobe rust_dma_heap`",
        Errno::MFILE | Errno::NFILE => {
            "each buffer is an open file: raise the limit of open files (`ulimit -n`)"
        }
        Errno::ACCESS | Errno::PERM => "run as root or change the node's group",
        Errno::INTR => "the call was interrupted by a signal: try again",
        _ => "the kernel log may tell more (`dmesg`)",
    }
}

fn map_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::INVAL => "the range must be whole pages inside the buffer",
        Errno::ACCESS | Errno::PERM => {
            "the buffer was allocated with an access mode that does not allow this mapping"
        }
        Errno::NOMEM => "the address space or the number of mappings is used up: unmap something",
        Errno::NODEV => "this buffer cannot be mapped by the CPU",
        Errno::OVERFLOW => "the range does not fit this process's address space",
        _ => "the kernel log may tell more (`dmesg`)",
    }
}

fn describe_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::INVAL | Errno::NOTTY => {
            "the node is one of the kernel's own heaps, or of an older module: ask a heap of the \
             module rust_dma_heap"
        }
        Errno::XDEV => {
            "it came from another exporter, and debugfs (dma_buf/bufinfo) has what is \
                        known of it"
        }
        _ => "the kernel log may tell more (`dmesg`)",
    }
}

fn take_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::SRCH => "there is no such process: does it still run?",
        Errno::BADF => "it does not have that file open: `ls -l /proc/PID/fd` shows its files",
        Errno::ACCESS | Errno::PERM => "run as root, or as the user who may debug that process",
        Errno::NOSYS => "the kernel must be Linux 5.6 or newer",
        Errno::MFILE | Errno::NFILE => "raise the limit of open files (`ulimit -n`)",
        _ => "the kernel log may tell more (`dmesg`)",
    }
}

fn share_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::PIPE | Errno::CONNRESET => "the other process has closed its end: start it again",
        Errno::BADMSG => "the other process sent no descriptor, or this one may open no more",
        Errno::MSGSIZE => "the note beside the buffer must have 1 to 32 bytes",
        Errno::MFILE | Errno::NFILE => "raise the limit of open files (`ulimit -n`)",
        _ => "use a connected Unix socket (`socketpair`)",
    }
}

fn importer_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => {
            "load the test importer: `insmod dma_buf_test_importer.ko`, which `make \
             RUST_DMA_HEAP_TESTS=y` builds"
        }
        Errno::ACCESS | Errno::PERM => "run as root",
        Errno::MFILE | Errno::NFILE => "raise the limit of open files (`ulimit -n`)",
        _ => "the kernel log may tell more (`dmesg`)",
    }
}

fn capture_advice(errno: Errno) -> &'static str {
    match errno {
        Errno::NODEV => "name a device that captures frames, as `ls /dev/video*` shows them",
        Errno::BUSY => "another program has the device: `fuser /dev/video*` names it",
        Errno::ACCESS | Errno::PERM => "run as root, or join the group of the device's node",
        Errno::FAULT => {
            "a device without an IOMMU may need a contiguous buffer: allocate it from a CMA heap"
        }
        _ => "the kernel log may tell why (`dmesg`)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_what_to_do() {
        let missing = Error::Open {
            path: "/dev/dma_heap/system".into(),
            errno: Errno::NOENT,
        };
        assert!(missing.to_string().contains("modprobe rust_dma_heap"));
        let refused = Error::Open {
            path: "/dev/dma_heap/system".into(),
            errno: Errno::ACCESS,
        };
        assert!(refused.to_string().contains("udev"));
        let full = Error::Alloc {
            heap: "system".into(),
            len: 4096,
            errno: Errno::NOMEM,
        };
        assert!(full.to_string().contains("limit"));
        assert_eq!(full.errno(), Some(Errno::NOMEM));
    }

    #[test]
    fn an_importer_says_what_to_do() {
        let missing = Error::ImporterOpen {
            errno: Errno::NOENT,
        };
        assert!(missing.to_string().contains("insmod"));
        let text = |action, errno| Error::Importer { action, errno }.to_string();
        assert!(text("claim an edu device", Errno::NODEV).contains("-device edu"));
        assert!(text("claim an edu device", Errno::BUSY).contains("another"));
        assert!(text("map a buffer for a device", Errno::BUSY).contains("unmap"));
        assert!(text("anything else", Errno::IO).contains("dmesg"));
    }
}
