// SPDX-License-Identifier: GPL-2.0

//! A heap, as people name it.

use dma_heap::HEAP_DIR;
use std::path::Path;

/// Takes a heap by name or by the path of its node.
///
/// # Errors
///
/// Says how a heap is named.
pub fn parse_heap(text: &str) -> Result<String, String> {
    let path = Path::new(text);
    let name = path
        .strip_prefix(HEAP_DIR)
        .unwrap_or(path)
        .to_string_lossy();
    if name.is_empty() || name.contains('/') {
        return Err(format!("a heap is a name or {HEAP_DIR}/NAME"));
    }
    Ok(name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_is_a_name_or_a_path() {
        assert_eq!(parse_heap("system"), Ok("system".into()));
        assert_eq!(parse_heap("/dev/dma_heap/system"), Ok("system".into()));
        for text in ["", "/dev/dma_heap/", "/dev/null", "../null"] {
            assert!(parse_heap(text).is_err(), "{text:?} was taken");
        }
    }
}
