// SPDX-License-Identifier: GPL-2.0

//! The scatterlists of one attachment: which is mapped, and which of them importers have.

use super::demands::Demands;
use crate::abstractions::dma::{
    reach::Reach,
    sg_table::{
        Mapped,
        SgTable,
        UnmappedTable, //
    }, //
};
use kernel::{
    dma::DataDirection,
    prelude::*,
    sync::Arc, //
};

/// The scatterlist that has the DMA mapping, had it, or will have it.
enum Primary {
    Unmapped(UnmappedTable),
    Mapped(Arc<SgTable<Mapped>>),
    /// The device is detached, or an importer gave back less than it got.
    Gone,
}

/// How a mapping is ended that nobody uses: [`SgTable::unmap`] or [`SgTable::unmap_synced`].
type End = fn(Arc<SgTable<Mapped>>) -> Option<UnmappedTable>;

/// The scatterlists of one attachment.
pub(super) struct Tables {
    primary: Primary,
    /// Whether an importer holds it.
    primary_is_lent: bool,
    /// How many duplicates importers hold.
    duplicates: usize,
    /// By which way the device gets at the memory; the primary is cut for it.
    pub(super) reach: Reach,
    /// What its driver asked for when it attached, or last had it mapped anew.
    pub(super) demands: Demands,
}

impl Tables {
    /// One table that was never mapped, cut for `reach`.
    pub(super) fn new(table: UnmappedTable, reach: Reach, demands: Demands) -> Self {
        Self {
            primary: Primary::Unmapped(table),
            primary_is_lent: false,
            duplicates: 0,
            reach,
            demands,
        }
    }

    /// Tells whether an importer has a table.
    pub(super) fn is_outstanding(&self) -> bool {
        self.primary_is_lent || self.duplicates > 0
    }

    /// Returns how many tables importers have.
    pub(super) fn outstanding(&self) -> usize {
        usize::from(self.primary_is_lent) + self.duplicates
    }

    /// Returns the mapping, if there is one.
    pub(super) fn mapped(&self) -> Option<&Arc<SgTable<Mapped>>> {
        match &self.primary {
            Primary::Mapped(table) => Some(table),
            _ => None,
        }
    }

    /// Returns the mapping, if there is one in that direction.
    pub(super) fn mapped_in(&self, direction: DataDirection) -> Option<&Arc<SgTable<Mapped>>> {
        self.mapped().filter(|table| table.direction() == direction)
    }

    /// Returns the mapping, if an importer uses it.
    pub(super) fn in_use(&self) -> Option<&Arc<SgTable<Mapped>>> {
        self.mapped().filter(|_| self.is_outstanding())
    }

    /// Returns the table that is not mapped, if there is no mapping.
    pub(super) fn unmapped(&self) -> Option<&UnmappedTable> {
        match &self.primary {
            Primary::Unmapped(table) => Some(table),
            _ => None,
        }
    }

    /// Takes what is there. To be put back, unless it is to end.
    fn take(&mut self) -> Primary {
        core::mem::replace(&mut self.primary, Primary::Gone)
    }

    /// Takes what is there for good. It ends when it is dropped.
    #[must_use = "to be dropped after the lock"]
    pub(super) fn end(&mut self) -> impl Sized {
        self.take()
    }

    /// Takes the table, whose mapping, if it has one, ends: it was synced when it was last
    /// unmapped.
    pub(super) fn take_unmapped(&mut self) -> Result<UnmappedTable> {
        match self.take() {
            Primary::Unmapped(table) => Ok(table),
            Primary::Mapped(table) => SgTable::unmap_synced(table).ok_or(EBUSY),
            Primary::Gone => Err(EBUSY),
        }
    }

    /// Puts a table in the place of the one before.
    pub(super) fn put_unmapped(&mut self, table: UnmappedTable) {
        self.primary = Primary::Unmapped(table);
    }

    /// Puts a table in the place of the one before.
    pub(super) fn put_mapped(&mut self, table: Arc<SgTable<Mapped>>) {
        self.primary = Primary::Mapped(table);
    }

    /// Ends the mapping, if there is one that nobody uses. Returns whether there was.
    pub(super) fn end_idle_mapping(&mut self, end: End) -> bool {
        if self.is_outstanding() {
            return false;
        }
        match self.take() {
            Primary::Mapped(table) => {
                let unmapped = end(table);
                let has_ended = unmapped.is_some();

                self.primary = unmapped.map_or(Primary::Gone, Primary::Unmapped);
                has_ended
            }
            other => {
                self.primary = other;
                false
            }
        }
    }

    /// Lends the primary, unless it is lent.
    pub(super) fn lend_primary(&mut self) -> bool {
        !core::mem::replace(&mut self.primary_is_lent, true)
    }

    /// Counts a duplicate that is about to be lent.
    pub(super) fn add_duplicate(&mut self) {
        self.duplicates += 1;
    }

    /// Counts one that was not lent.
    pub(super) fn forget_duplicate(&mut self) {
        self.duplicates = self.duplicates.saturating_sub(1);
    }

    /// Takes a table back from an importer. Returns it where none was lent that it could be.
    pub(super) fn take_back(
        &mut self,
        table: Arc<SgTable<Mapped>>,
    ) -> Result<(), Arc<SgTable<Mapped>>> {
        let is_primary = self
            .mapped()
            .is_some_and(|primary| Arc::ptr_eq(primary, &table));

        if is_primary && self.primary_is_lent {
            self.primary_is_lent = false;
        } else if !is_primary && self.duplicates > 0 {
            self.duplicates -= 1;
        } else {
            return Err(table);
        }
        Ok(())
    }
}
