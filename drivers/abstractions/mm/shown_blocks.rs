// SPDX-License-Identifier: GPL-2.0

//! Blocks as a buffer shows them.

use crate::abstractions::mm::{
    block::{
        Block,
        Dirty, //
    },
    gfp::GFP_KERNEL_MAYFAIL, //
};
use core::{
    mem,
    slice, //
};
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

/// A block of a buffer.
pub(super) struct Shown {
    pub(super) block: Block<Dirty>,
    /// Which page of the buffer is the block's first.
    pub(super) first: u32,
    /// Whether anybody had a way to write the block.
    pub(super) writable: Atomic<bool>,
}

/// The blocks of a list. Many buffers have but one: small ones, and contiguous ones.
pub(super) enum Blocks {
    None,
    One(Shown),
    Many(KVVec<Shown>),
}

impl Blocks {
    pub(super) fn as_slice(&self) -> &[Shown] {
        match self {
            Self::None => &[],
            Self::One(shown) => slice::from_ref(shown),
            Self::Many(blocks) => blocks,
        }
    }

    pub(super) fn push(&mut self, shown: Shown) -> Result {
        match self {
            Self::None => *self = Self::One(shown),
            Self::One(_) => {
                let mut blocks = KVVec::with_capacity(2, GFP_KERNEL_MAYFAIL)?;

                if let Self::One(first) = mem::replace(self, Self::None) {
                    blocks.push_within_capacity(first)?;
                }
                blocks.push_within_capacity(shown)?;
                *self = Self::Many(blocks);
            }
            Self::Many(blocks) => blocks.push(shown, GFP_KERNEL_MAYFAIL)?,
        }
        Ok(())
    }

    pub(super) fn for_each(self, take: impl FnMut(Shown)) {
        match self {
            Self::None => (),
            Self::One(shown) => Some(shown).into_iter().for_each(take),
            Self::Many(blocks) => blocks.into_iter().for_each(take),
        }
    }
}
