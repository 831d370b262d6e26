// SPDX-License-Identifier: GPL-2.0

//! Room for a mapping where the addresses of an IOMMU are used up.
//!
//! Kept mappings hold addresses that nobody uses. Those of the same domain make room, the longest
//! idle first, and no more than are needed; what devices elsewhere keep is of no help, and stays.
//!
//! The caller holds `resv`, for which others wait: to poll the buffer, or to import a fence. So
//! what cannot succeed fails at once; and what depends on the flush queue of a lazy domain waits
//! for one flush and no other.

use super::{
    attachment::MapError,
    Attachment,
    Attachments, //
};
use crate::abstractions::{
    dma::{
        iommu::Domain,
        sg_table::{
            Mapped,
            SgTable, //
        }, //
    },
    dma_buf::resv::ResvHeld, //
};
use kernel::{
    dma::DataDirection,
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// How often to see whether a flush has given addresses back: most wait for less than a whole one.
const STEP: Delta = Delta::from_millis(1);

impl Attachments {
    /// Maps a buffer of `len` bytes for the device of `attachment`, and makes room if there is
    /// need.
    ///
    /// Fails as [`Attachment::map`] does. May sleep.
    pub(super) fn map(
        &self,
        attachment: &Attachment,
        direction: DataDirection,
        resv: ResvHeld<'_>,
        len: usize,
    ) -> Result<Arc<SgTable<Mapped>>> {
        let full = match attachment.map(direction, resv) {
            Err(full @ MapError::NoAddresses) => full,
            mapped => return Ok(mapped?),
        };

        // A failure to bounce is none that others could help.
        match Domain::of(attachment.device()) {
            Some(domain) if domain.could_hold(len) => {
                self.map_in(&domain, attachment, direction, resv, len)
            }
            _ => Err(full.into()),
        }
    }

    /// The same where there would be room if nobody else had any.
    fn map_in(
        &self,
        domain: &Domain<'_>,
        attachment: &Attachment,
        direction: DataDirection,
        resv: ResvHeld<'_>,
        len: usize,
    ) -> Result<Arc<SgTable<Mapped>>> {
        let id = domain.id();

        // Where too much is in use, nothing is dropped in vain, and no flush is waited for.
        if !domain.could_hold_beside(len, self.lent_in(id)) {
            return Err(MapError::NoAddresses.into());
        }
        loop {
            // Pieces of addresses may lie apart. Where there is one try only, there should be one
            // piece that is large enough.
            let is_lazy = domain.is_lazy();
            let enough = if is_lazy { len.saturating_mul(2) } else { len };

            if self.end_idlest_mappings(|other| other.is_kept_in(id), enough) == 0 {
                return Err(MapError::NoAddresses.into());
            }
            if is_lazy {
                return Self::map_after_flush(attachment, direction, resv);
            }
            match attachment.map(direction, resv) {
                Err(MapError::NoAddresses) => {}
                mapped => return Ok(mapped?),
            }
        }
    }

    /// Maps as soon as a lazy domain has addresses back, or fails after the time that one flush
    /// takes.
    fn map_after_flush(
        attachment: &Attachment,
        direction: DataDirection,
        resv: ResvHeld<'_>,
    ) -> Result<Arc<SgTable<Mapped>>> {
        let start = Instant::<Monotonic>::now();
        let time = Domain::flush_time();

        loop {
            let is_over = start.elapsed() > time;

            match attachment.map(direction, resv) {
                Err(MapError::NoAddresses) if !is_over => fsleep(STEP),
                mapped => return Ok(mapped?),
            }
        }
    }
}
