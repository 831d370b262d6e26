// SPDX-License-Identifier: GPL-2.0

//! Telling those who watch that a buffer came, and that it went.

use super::{
    Buffer,
    Export, //
};
use crate::abstractions::trace;
use core::ops::Deref;
use kernel::sync::{
    atomic::{
        Atomic,
        Relaxed, //
    },
    Arc,
    SetOnce, //
};

/// What the buffers have that tracepoints were told of, in bytes.
static TOTAL: Atomic<u64> = Atomic::new(0);

/// A buffer as it was announced.
struct Told {
    inode: usize,
    len: usize,
    nr_blocks: usize,
}

/// What a buffer shares with the others of its heap. When it is dropped, those are told that the
/// buffer goes who were told that it came.
pub(super) struct Announcer {
    export: Arc<Export>,
    told: SetOnce<Told>,
}

impl Announcer {
    /// Nobody is told yet.
    pub(super) fn new(export: Arc<Export>) -> Self {
        Self {
            export,
            told: SetOnce::new(),
        }
    }

    /// Tells of the buffer, once. `inode` is the number by which people know it.
    pub(super) fn announce(&self, buffer: &Buffer, inode: usize) {
        let told = Told {
            inode,
            len: buffer.blocks.len(),
            nr_blocks: buffer.nr_blocks(),
        };
        let len = told.len as u64;
        let subject = self.subject(&told);

        if self.told.populate(told) {
            trace::allocated(subject, TOTAL.fetch_add(len, Relaxed).wrapping_add(len));
        }
    }

    fn subject(&self, told: &Told) -> trace::Subject<'_> {
        trace::Subject {
            heap: &self.export.name,
            inode: told.inode,
            len: told.len,
            nr_blocks: told.nr_blocks,
        }
    }
}

impl Deref for Announcer {
    type Target = Arc<Export>;

    fn deref(&self) -> &Arc<Export> {
        &self.export
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        if let Some(told) = self.told.as_ref() {
            let len = told.len as u64;

            trace::released(
                self.subject(told),
                TOTAL.fetch_sub(len, Relaxed).wrapping_sub(len),
            );
        }
    }
}
