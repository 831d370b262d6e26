// SPDX-License-Identifier: GPL-2.0

//! How much memory the buffers of a heap may take, and do take: in all, and of each user.

#![deny(unsafe_code)]

use crate::abstractions::{
    meminfo,
    task::{
        self,
        Uid, //
    },
    versions::edquot, //
};
use kernel::{
    prelude::*,
    rbtree::RBTree,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_mutex,
        Arc,
        Mutex, //
    }, //
};

/// The memory of one heap's living buffers, in bytes, against a limit.
///
/// Whoever may open a node may not thereby take the machine down: all buffers together may take
/// half of its memory unless root says otherwise, and those of one user half of that.
#[pin_data]
pub(crate) struct Account {
    limit: Atomic<u64>,
    used: Atomic<u64>,
    /// What each user has allocated who may not exceed the share; those with nothing are left out.
    #[pin]
    users: Mutex<RBTree<Uid, u64>>,
}

impl Account {
    /// Makes an account with nothing charged and a limit of half the machine's memory.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Self::with_limit(meminfo::total_ram() / 2)
    }

    fn with_limit(limit: u64) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                limit: Atomic::new(limit),
                used: Atomic::new(0),
                users <- new_mutex!(RBTree::new()),
            }),
            GFP_KERNEL,
        )
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

    /// Charges `bytes` to the calling task's user until the [`Charge`] is dropped, whoever holds
    /// the buffer then. May sleep.
    ///
    /// Returns `ENOMEM` if that would exceed the limit, and `EDQUOT` if it would exceed the user's
    /// half of it, for a task without `CAP_SYS_RESOURCE` in the initial user namespace. To be
    /// called before any memory is touched.
    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge> {
        let user = if task::may_exceed_limits() {
            None
        } else {
            Some(task::current_uid())
        };

        self.charge_user(bytes, user)
    }

    fn charge_user(self: &Arc<Self>, bytes: u64, user: Option<Uid>) -> Result<Charge> {
        let mut charge = self.charge_heap(bytes)?;

        if let Some(uid) = user {
            let mut users = self.users.lock();
            let others = users.get(&uid).copied().unwrap_or(0);

            // Neither sum overflows: both are parts of `used`.
            if others + bytes > self.limit() / 2 {
                return Err(edquot());
            }
            match users.get_mut(&uid) {
                Some(theirs) => *theirs += bytes,
                None => {
                    users.try_create_and_insert(uid, bytes, GFP_KERNEL)?;
                }
            }
            charge.user = Some(uid);
        }
        Ok(charge)
    }

    fn charge_heap(self: &Arc<Self>, bytes: u64) -> Result<Charge> {
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
            user: None,
        })
    }
}

/// Memory charged to an [`Account`], given back on drop. Dropping it may sleep.
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: u64,
    user: Option<Uid>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(uid) = self.user {
            let mut users = self.account.users.lock();

            if let Some(theirs) = users.get_mut(&uid) {
                *theirs -= self.bytes;
                if *theirs == 0 {
                    users.remove(&uid);
                }
            }
        }
        let _ = self.account.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[kunit_tests(rust_dma_heap_accounting)]
mod tests {
    use super::*;

    #[test]
    fn charges_up_to_the_limit_and_no_further() -> Result {
        let account = Account::with_limit(100)?;
        let first = account.charge_user(60, None)?;
        let second = account.charge_user(40, None)?;

        assert_eq!(account.used(), 100);
        assert_eq!(account.charge_user(1, None).err(), Some(ENOMEM));
        drop(first);
        assert_eq!(account.used(), 40);
        assert!(account.charge_user(61, None).is_err());
        drop(second);
        assert_eq!(account.used(), 0);
        Ok(())
    }

    #[test]
    fn a_sum_that_overflows_is_refused() -> Result {
        let account = Account::with_limit(u64::MAX)?;
        let _first = account.charge_user(1, None)?;

        assert_eq!(account.charge_user(u64::MAX, None).err(), Some(ENOMEM));
        assert_eq!(account.used(), 1);
        Ok(())
    }

    #[test]
    fn a_lower_limit_keeps_what_is_charged() -> Result {
        let account = Account::with_limit(100)?;
        let _charge = account.charge_user(80, None)?;

        account.set_limit(50);
        assert_eq!(account.used(), 80);
        assert!(account.charge_user(1, None).is_err());
        Ok(())
    }

    #[test]
    fn a_user_gets_half_and_another_one_the_rest() -> Result {
        let account = Account::with_limit(100)?;
        let first = account.charge_user(30, Some(Uid(1)))?;
        let _second = account.charge_user(20, Some(Uid(1)))?;

        assert_eq!(account.charge_user(1, Some(Uid(1))).err(), Some(edquot()));
        assert_eq!(account.used(), 50);

        let _other = account.charge_user(50, Some(Uid(2)))?;

        assert_eq!(account.charge_user(1, Some(Uid(1))).err(), Some(ENOMEM));
        drop(first);
        let _again = account.charge_user(30, Some(Uid(1)))?;
        Ok(())
    }

    #[test]
    fn a_user_without_buffers_is_forgotten() -> Result {
        let account = Account::with_limit(100)?;

        drop(account.charge_user(50, Some(Uid(7)))?);
        assert!(account.users.lock().is_empty());
        assert!(account.charge_user(51, Some(Uid(7))).is_err());
        assert!(account.users.lock().is_empty());
        assert_eq!(account.used(), 0);
        Ok(())
    }
}
