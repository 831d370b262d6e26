// SPDX-License-Identifier: GPL-2.0

//! Machines for unit tests, each in a folder.

use super::system::Me;
use super::system::System;
use std::io::Result;
use std::path::Path;
use tempfile::TempDir;

/// A machine whose files are in a folder that goes with it.
pub(super) struct Tree(TempDir);

impl Tree {
    /// One without any file.
    pub(super) fn new() -> Result<Self> {
        tempfile::tempdir().map(Self)
    }

    /// A machine of Debian's with the module loaded and an area, but without nodes:
    /// only root can make these.
    pub(super) fn with_heaps() -> Result<Self> {
        let tree = Self::new()?;
        tree.write("proc/sys/kernel/osrelease", "7.3.4\n")?;
        tree.write("proc/modules", "rust_dma_heap 100000 0 - Live 0x0\n")?;
        tree.write("proc/cmdline", "root=/dev/vda1 quiet\n")?;
        tree.write(
            "boot/config-7.3.4",
            "CONFIG_RUST=y\nCONFIG_MODULES=y\nCONFIG_DMA_SHARED_BUFFER=y\nCONFIG_DMA_CMA=y\n",
        )?;
        tree.write("lib/modules/7.3.4/build/.config", "CONFIG_RUST=y\n")?;
        tree.write("lib/modules/7.3.4/updates/rust_dma_heap.ko", "module")?;
        tree.write("sys/module/rust_dma_heap/initstate", "live\n")?;
        tree.write("sys/module/module/parameters/sig_enforce", "N\n")?;
        tree.write(
            "sys/kernel/mm/cma/default_cma_region/total_pages",
            "16384\n",
        )?;
        tree.write(
            "sys/kernel/mm/cma/default_cma_region/available_pages",
            "16000\n",
        )?;
        tree.write("sys/kernel/iommu_groups/0/type", "DMA-FQ\n")?;
        Ok(tree)
    }

    /// As if the module had been removed.
    pub(super) fn unload(&self) -> Result<()> {
        self.write("proc/modules", "")?;
        self.remove("sys/module/rust_dma_heap")
    }

    /// The machine, for a user who is in no group.
    pub(super) fn system(&self) -> System {
        let (uid, gids) = (1000, vec![1000]);
        System::new(self.0.path(), Me { uid, gids })
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, in folders that are made if need be.
    pub(super) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path().join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, text)
    }

    pub(super) fn link(&self, path: &str, to: &str) -> Result<()> {
        let path = self.path().join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::os::unix::fs::symlink(to, path)
    }

    /// Removes a file, or a folder with all that is in it.
    pub(super) fn remove(&self, path: &str) -> Result<()> {
        let path = self.path().join(path);
        if path.is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        }
    }
}
