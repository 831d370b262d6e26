// SPDX-License-Identifier: GPL-2.0

//! Filling a buffer, and finding what is not as it should be.

use dma_heap::Mapping;
use dma_heap::pattern::Pattern;

/// Writes a pattern into all of a mapping.
pub(super) fn fill(mapping: &mut Mapping<'_>, pattern: Pattern) -> anyhow::Result<()> {
    let access = mapping.write()?;
    access.fill_with(|index| pattern.word(index));
    Ok(access.finish()?)
}

/// Fails with the first word that is not as wanted.
pub(super) fn expect_words(
    mapping: &Mapping<'_>,
    wanted: impl Fn(usize) -> u64,
) -> anyhow::Result<()> {
    let access = mapping.read()?;
    let mismatch = access.find_mismatch(&wanted);
    access.finish()?;
    match mismatch {
        None => Ok(()),
        Some((index, word)) => Err(difference(mapping.len(), index, word, wanted(index))),
    }
}

/// Fails with the first word of a copy that is not that of the pattern, which
/// starts at byte `offset` of a buffer of `len` bytes.
pub(super) fn expect_bytes(
    bytes: &[u8],
    len: usize,
    offset: usize,
    pattern: Pattern,
) -> anyhow::Result<()> {
    let first = offset / size_of::<u64>();
    for (index, chunk) in (first..).zip(bytes.chunks_exact(size_of::<u64>())) {
        let word = u64::from_ne_bytes(chunk.try_into()?);
        if word != pattern.word(index) {
            return Err(difference(len, index, word, pattern.word(index)));
        }
    }
    Ok(())
}

/// The bytes of `count` words of a pattern, from byte `offset` on.
pub(super) fn words(pattern: Pattern, offset: usize, count: usize) -> Vec<u8> {
    let first = offset / size_of::<u64>();
    (first..first + count)
        .flat_map(|index| pattern.word(index).to_ne_bytes())
        .collect()
}

fn difference(len: usize, index: usize, word: u64, wanted: u64) -> anyhow::Error {
    let byte = index * size_of::<u64>();
    anyhow::anyhow!(
        "byte {byte} of {len} (page {}) reads {word:#018x} instead of {wanted:#018x}",
        byte / dma_heap::page_size(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_where_they_belong() {
        let pattern = Pattern::new(5);
        let bytes = words(pattern, 64, 8);
        assert!(expect_bytes(&bytes, 4096, 64, pattern).is_ok());
        let wrong = expect_bytes(&bytes, 4096, 72, pattern);
        assert!(wrong.is_err_and(|error| error.to_string().starts_with("byte 72 of 4096")));
    }
}
