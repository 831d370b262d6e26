// SPDX-License-Identifier: GPL-2.0

//! An installed module: where its file is, and what stands in it.

use super::system::System;
use flate2::read::GzDecoder;
use std::io::Read as _;

/// The names that the file may have; kernels have their modules packed.
const NAMES: [&str; 4] = [
    "rust_dma_heap.ko",
    "rust_dma_heap.ko.xz",
    "rust_dma_heap.ko.zst",
    "rust_dma_heap.ko.gz",
];
/// Where modules are that do not come with the kernel, in depmod's order, and where
/// those are that do.
const FOLDERS: [&str; 4] = ["updates", "extra", "kernel/drivers", "weak-updates"];
/// What the kernel looks for at the end of a file.
const SIGNED: &[u8] = b"~Module signature appended~\n";

/// A module's file.
#[derive(Debug)]
pub(super) struct ModuleFile {
    path: String,
    /// Unpacked; nothing if it cannot be read or unpacked.
    content: Option<Vec<u8>>,
}

impl ModuleFile {
    /// Looks for it in the modules of a kernel.
    pub(super) fn find(system: &System, modules: &str) -> Option<Self> {
        let path = FOLDERS
            .iter()
            .find_map(|folder| find(system, &format!("{modules}/{folder}"), 0))?;
        let content = system.bytes(&path).and_then(|bytes| unpacked(&path, bytes));
        Some(Self { path, content })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether somebody has signed it.
    pub(super) fn is_signed(&self) -> Option<bool> {
        Some(self.content.as_ref()?.ends_with(SIGNED))
    }

    /// What `modinfo` says of it.
    pub(super) fn information(&self, name: &str) -> Option<String> {
        let start = format!("{name}=");
        // The section is a row of texts that end in 0.
        self.content
            .as_ref()?
            .split(|byte| *byte == 0)
            .find_map(|text| text.strip_prefix(start.as_bytes()))
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Whether these bytes stand in it.
    pub(super) fn has(&self, bytes: &[u8]) -> Option<bool> {
        let content = self.content.as_ref()?;
        Some(content.windows(bytes.len().max(1)).any(|it| it == bytes))
    }
}

/// The file in a folder or one below it. Links are not followed.
fn find(system: &System, folder: &str, depth: usize) -> Option<String> {
    let names = system.names(folder);
    let file = names.iter().find(|name| NAMES.contains(&name.as_str()));
    if let Some(name) = file {
        return Some(format!("{folder}/{name}"));
    }
    // Drivers are five folders deep at most.
    if depth == 6 {
        return None;
    }
    names
        .iter()
        .map(|name| format!("{folder}/{name}"))
        .filter(|path| system.link(path).is_none() && system.is_dir(path))
        .find_map(|path| find(system, &path, depth + 1))
}

fn unpacked(path: &str, bytes: Vec<u8>) -> Option<Vec<u8>> {
    match path.rsplit('.').next() {
        Some("ko") => Some(bytes),
        Some("xz") => {
            let mut content = Vec::new();
            lzma_rs::xz_decompress(&mut &*bytes, &mut content).ok()?;
            Some(content)
        }
        Some("gz") => {
            let mut content = Vec::new();
            GzDecoder::new(&*bytes).read_to_end(&mut content).ok()?;
            Some(content)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    const MODULES: &str = "/lib/modules/7.3.4";

    fn with(path: &str, content: &[u8]) -> std::io::Result<Option<ModuleFile>> {
        let tree = Tree::new()?;
        tree.write(&format!("lib/modules/7.3.4/{path}"), content)?;
        Ok(ModuleFile::find(&tree.system(), MODULES))
    }

    #[test]
    fn it_is_found_wherever_modules_are() -> std::io::Result<()> {
        for path in [
            "updates/dkms/rust_dma_heap.ko.zst",
            "updates/rust_dma_heap.ko",
            "extra/rust_dma_heap.ko.xz",
            "kernel/drivers/dma-buf/rust-dma-heap/rust_dma_heap.ko",
        ] {
            let found = with(path, b"")?;
            assert_eq!(found.map(|it| it.path), Some(format!("{MODULES}/{path}")));
        }
        assert!(with("build/rust_dma_heap.ko", b"")?.is_none());
        assert!(with("updates/other.ko", b"")?.is_none());
        Ok(())
    }

    #[test]
    fn what_stands_in_it() -> std::io::Result<()> {
        let content = b"\x7fELF\0srcversion=ABC\0version=1.0\0vermagic=7.3.4 SMP\0\x01\x02\x03";
        let file = with("updates/rust_dma_heap.ko", content)?;
        let file = file.ok_or(std::io::ErrorKind::NotFound)?;
        assert_eq!(file.information("version").as_deref(), Some("1.0"));
        assert_eq!(file.information("vermagic").as_deref(), Some("7.3.4 SMP"));
        assert_eq!(file.information("magic"), None);
        assert_eq!(file.has(b"\x02\x03"), Some(true));
        assert_eq!(file.has(b"\x03\x02"), Some(false));
        assert_eq!(file.is_signed(), Some(false));
        Ok(())
    }

    #[test]
    fn a_signature_is_seen_in_packed_files() -> std::io::Result<()> {
        use std::io::Write as _;
        let signed = b"module~Module signature appended~\n";
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(signed)?;
        let mut xz = Vec::new();
        lzma_rs::xz_compress(&mut &signed[..], &mut xz)?;
        for (path, content, expected) in [
            ("updates/rust_dma_heap.ko", signed.to_vec(), Some(true)),
            ("updates/rust_dma_heap.ko.gz", gz.finish()?, Some(true)),
            ("updates/rust_dma_heap.ko.xz", xz, Some(true)),
            ("updates/rust_dma_heap.ko.xz", signed.to_vec(), None),
            ("updates/rust_dma_heap.ko.zst", signed.to_vec(), None),
        ] {
            let file = with(path, &content)?;
            assert_eq!(file.and_then(|it| it.is_signed()), expected, "{path}");
        }
        Ok(())
    }
}
