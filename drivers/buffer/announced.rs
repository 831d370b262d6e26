// SPDX-License-Identifier: GPL-2.0

//! Telling those who watch that a buffer came, and that it went.

use super::{
    Buffer,
    Export, //
};
use crate::{
    abstractions::trace,
    accounting, //
};
use kernel::{
    sync::Arc, //
};

/// A buffer that tracepoints were told of, and are told of again when this is dropped.
pub(super) struct Announced {
    export: Arc<Export>,
    inode: usize,
    len: usize,
    nr_blocks: usize,
}

impl Announced {
    /// Tells of a buffer. `inode` is the number by which people know it.
    pub(super) fn new(buffer: &Buffer, inode: usize) -> Self {
        let this = Self {
            export: buffer.export.clone(),
            inode,
            len: buffer.blocks.len(),
            nr_blocks: buffer.nr_blocks(),
        };

        trace::allocated(this.subject(), accounting::total());
        this
    }

    fn subject(&self) -> trace::Subject<'_> {
        trace::Subject {
            heap: &self.export.name,
            inode: self.inode,
            len: self.len,
            nr_blocks: self.nr_blocks,
        }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // The memory counts until it is free, which is soon.
        let others = accounting::total().saturating_sub(self.len as u64);

        trace::released(self.subject(), others);
    }
}
