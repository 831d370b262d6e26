// SPDX-License-Identifier: GPL-2.0

//! How much memory the buffers of a heap may take, and do take.

#![deny(unsafe_code)]

use crate::abstractions::meminfo;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The memory of one heap's living buffers, in bytes, against a limit.
///
/// Lock-free, callable from any context.
pub(crate) struct Account {
    limit: Atomic<u64>,
    used: Atomic<u64>,
}

impl Account {
    /// Makes an account with nothing charged and a limit of half the machine's memory.
    ///
    /// Whoever may open a node may not thereby take the machine down.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Self::with_limit(meminfo::total_ram() / 2)
    }

    fn with_limit(limit: u64) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                limit: Atomic::new(limit),
                used: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    /// Returns the limit in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// Sets the limit in bytes. Buffers that exceed a lower one stay.
    pub(crate) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Relaxed);
    }

    /// Returns what living buffers take, in bytes.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Charges `bytes` until the [`Charge`] is dropped, or returns `ENOMEM` if that would exceed
    /// the limit.
    ///
    /// To be called before any memory is touched.
    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge> {
        let mut used = self.used();

        loop {
            let new = used
                .checked_add(bytes)
                .filter(|new| *new <= self.limit())
                .ok_or(ENOMEM)?;

            // Only the number itself is shared, so no ordering is needed.
            match self.used.cmpxchg(used, new, Relaxed) {
                Ok(_) => break,
                Err(now) => used = now,
            }
        }

        Ok(Charge {
            account: self.clone(),
            bytes,
        })
    }
}

/// Memory charged to an [`Account`], given back on drop.
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        let _ = self.account.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[kunit_tests(rust_dma_heap_accounting)]
mod tests {
    use super::*;

    #[test]
    fn charges_up_to_the_limit_and_no_further() -> Result {
        let account = Account::with_limit(100)?;
        let first = account.charge(60)?;
        let second = account.charge(40)?;

        assert_eq!(account.used(), 100);
        assert_eq!(account.charge(1).err(), Some(ENOMEM));
        drop(first);
        assert_eq!(account.used(), 40);
        assert!(account.charge(61).is_err());
        drop(second);
        assert_eq!(account.used(), 0);
        Ok(())
    }

    #[test]
    fn a_sum_that_overflows_is_refused() -> Result {
        let account = Account::with_limit(u64::MAX)?;
        let _first = account.charge(1)?;

        assert_eq!(account.charge(u64::MAX).err(), Some(ENOMEM));
        assert_eq!(account.used(), 1);
        Ok(())
    }

    #[test]
    fn a_lower_limit_keeps_what_is_charged() -> Result {
        let account = Account::with_limit(100)?;
        let _charge = account.charge(80)?;

        account.set_limit(50);
        assert_eq!(account.used(), 80);
        assert!(account.charge(1).is_err());
        Ok(())
    }
}
