// SPDX-License-Identifier: GPL-2.0

//! How much memory the buffers of a heap may take, and do take: in all, and of each user.

#![deny(unsafe_code)]

mod sums;

use crate::abstractions::{
    mm::meminfo,
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
        new_spinlock,
        Arc,
        SpinLock, //
    }, //
};
use sums::{
    Added,
    Room,
    Share,
    Sums, //
};

/// The memory of one heap's living buffers, in bytes, against a limit.
///
/// Whoever may open a node may not thereby take the machine down, nor take from others what they
/// were promised.
#[pin_data]
pub(crate) struct Account {
    /// Under one lock, so that a request that is refused changes none of them, not even for a
    /// moment.
    #[pin]
    sums: SpinLock<Sums>,
    /// Whether the memory is an area's, which may refuse what the limit allows.
    is_of_area: bool,
}

/// Returns whose sum the calling task's buffers count in.
///
/// In a user namespace it is who made the outermost one below the initial one: that user's
/// subordinate ids, and namespaces inside, bring no share of their own. But root makes the
/// namespaces of all containers of a daemon, which would share one sum: there each of the machine's
/// users has their own.
fn payer() -> Uid {
    match task::current_namespace_owner() {
        Some(owner) if owner != Uid::ROOT => owner,
        _ => task::current_uid(),
    }
}

impl Account {
    /// Makes an account with nothing charged of buffers that are made of any memory: with a limit
    /// of half the machine's, and half of that for one user.
    pub(crate) fn of_machine() -> Result<Arc<Self>> {
        Self::new(meminfo::total_ram() / 2, Share::Half)
    }

    /// Makes an account with nothing charged of buffers for which `capacity` bytes are set apart:
    /// with a limit of that, for one user as well.
    pub(crate) fn of_area(capacity: u64) -> Result<Arc<Self>> {
        Self::new(capacity, Share::Whole)
    }

    fn new(limit: u64, share: Share) -> Result<Arc<Self>> {
        let is_of_area = share == Share::Whole;

        Arc::pin_init(
            pin_init!(Self {
                is_of_area,
                sums <- new_spinlock!(Sums {
                    limit,
                    user_limit: None,
                    share,
                    used: 0,
                    claimed: 0,
                    users: RBTree::new(),
                    spare: None,
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the limit in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.sums.lock().limit
    }

    /// Sets the limit in bytes, and with it that of each user unless it was set. Buffers that
    /// exceed a lower one stay.
    pub(crate) fn set_limit(&self, bytes: u64) {
        self.sums.lock().limit = bytes;
    }

    /// Returns the limit of each user, in bytes.
    pub(crate) fn user_limit(&self) -> u64 {
        self.sums.lock().user_limit()
    }

    /// Sets the limit of each user in bytes. Buffers that exceed a lower one stay.
    pub(crate) fn set_user_limit(&self, bytes: u64) {
        self.sums.lock().user_limit = Some(bytes);
    }

    /// Returns what living buffers take, in bytes.
    pub(crate) fn used(&self) -> u64 {
        self.sums.lock().taken()
    }

    /// Charges `bytes` to the calling task's user for a buffer that is about to get its memory. May
    /// sleep.
    ///
    /// Returns `EDQUOT` if that would exceed the user's limit, for a task without
    /// `CAP_SYS_RESOURCE` in the initial user namespace, and `ENOMEM` if it would exceed the
    /// heap's. To be called before any memory is touched.
    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Claim> {
        match self.charge_user(bytes, payer()) {
            Err(error) if error == edquot() && task::may_exceed_limits() => {
                self.charge_nobody(bytes)
            }
            result => result,
        }
    }

    fn charge_user(self: &Arc<Self>, bytes: u64, user: Uid) -> Result<Claim> {
        let mut room = None;

        // Twice, at most.
        while self.sums.lock().add_for(user, bytes, &mut room)? == Added::NeedsRoom {
            room = Some(Room::new(GFP_KERNEL)?);
        }
        Ok(self.claimed(bytes, Some(user)))
    }

    /// Charges what a user takes beyond the user's limit. It is not in the user's sum, which is
    /// never above what it may be thereby.
    fn charge_nobody(self: &Arc<Self>, bytes: u64) -> Result<Claim> {
        self.sums.lock().add(bytes)?;
        Ok(self.claimed(bytes, None))
    }

    fn claimed(self: &Arc<Self>, bytes: u64, user: Option<Uid>) -> Claim {
        Claim(Charge {
            account: self.clone(),
            bytes,
            user,
            is_settled: !self.is_of_area,
        })
    }
}

/// Memory charged to an [`Account`] that a buffer is about to get. Taken back on drop.
pub(crate) struct Claim(Charge);

impl Claim {
    /// Says that the memory is there. From now on it is charged until the [`Charge`] is dropped,
    /// whoever holds the buffer then.
    ///
    /// Returns `ENOMEM` if the heap may not have it any more.
    pub(crate) fn settle(mut self) -> Result<Charge> {
        if !self.0.is_settled {
            self.0.account.sums.lock().settle(self.0.bytes)?;
            self.0.is_settled = true;
        }
        Ok(self.0)
    }
}

/// Memory charged to an [`Account`], given back on drop.
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: u64,
    user: Option<Uid>,
    is_settled: bool,
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut sums = self.account.sums.lock();

        if !self.is_settled {
            sums.withdraw(self.bytes);
        }

        let left_over = sums.subtract(self.bytes, self.user);

        drop(sums);
        // The lock is free again.
        drop(left_over);
    }
}

#[kunit_tests(rust_dma_heap_accounting)]
mod tests {
    use super::*;

    const ONE: Uid = Uid(1);
    const ANOTHER: Uid = Uid(2);

    fn shared(limit: u64) -> Result<Arc<Account>> {
        Account::new(limit, Share::Half)
    }

    #[test]
    fn charges_up_to_the_limit_and_no_further() -> Result {
        let account = Account::of_area(100)?;
        let first = account.charge_user(60, ONE)?.settle()?;
        let second = account.charge_nobody(40)?.settle()?;

        assert_eq!(account.used(), 100);
        assert_eq!(account.charge_user(1, ANOTHER).err(), Some(ENOMEM));
        assert_eq!(account.charge_nobody(1).err(), Some(ENOMEM));
        drop(first);
        assert_eq!(account.used(), 40);
        assert!(account.charge_user(61, ONE).is_err());
        drop(second);
        assert_eq!(account.used(), 0);
        Ok(())
    }

    #[test]
    fn what_an_area_may_refuse_is_in_the_way_of_its_user_only() -> Result {
        let account = Account::of_area(100)?;
        let held = account.charge_user(60, ANOTHER)?.settle()?;
        let asked = account.charge_user(40, ONE)?;

        assert_eq!(account.used(), 60);
        assert_eq!(account.charge_user(61, ONE).err(), Some(edquot()));

        let others = account.charge_user(10, ANOTHER)?.settle()?;

        // The area has given the rest to somebody else.
        assert_eq!(asked.settle().err(), Some(ENOMEM));
        assert_eq!(account.used(), 70);
        drop((held, others));
        assert_eq!(account.used(), 0);
        assert!(account.sums.lock().users.is_empty());
        assert_eq!(account.sums.lock().used, 0);
        Ok(())
    }

    #[test]
    fn what_is_gathered_of_any_memory_is_taken_at_once() -> Result {
        let account = shared(100)?;
        let _asked = account.charge_user(50, ONE)?;

        assert_eq!(account.used(), 50);
        assert_eq!(account.charge_user(51, ANOTHER).err(), Some(edquot()));
        assert_eq!(account.charge_nobody(51).err(), Some(ENOMEM));
        Ok(())
    }

    #[test]
    fn a_sum_that_overflows_is_refused() -> Result {
        let account = Account::of_area(u64::MAX)?;
        let _first = account.charge_user(1, ONE)?.settle()?;

        assert_eq!(account.charge_nobody(u64::MAX).err(), Some(ENOMEM));
        assert_eq!(account.charge_user(u64::MAX, ONE).err(), Some(edquot()));
        assert_eq!(account.charge_user(u64::MAX, ANOTHER).err(), Some(ENOMEM));
        assert_eq!(account.used(), 1);
        Ok(())
    }

    #[test]
    fn a_lower_limit_keeps_what_is_charged() -> Result {
        let account = Account::of_area(100)?;
        let _charge = account.charge_user(80, ONE)?.settle()?;

        account.set_limit(50);
        assert_eq!(account.used(), 80);
        assert_eq!(account.charge_user(1, ONE).err(), Some(edquot()));
        assert_eq!(account.charge_user(1, ANOTHER).err(), Some(ENOMEM));
        assert_eq!(account.charge_nobody(1).err(), Some(ENOMEM));
        Ok(())
    }

    #[test]
    fn a_user_gets_half_and_another_one_the_rest() -> Result {
        let account = shared(100)?;
        let first = account.charge_user(30, ONE)?.settle()?;
        let _second = account.charge_user(20, ONE)?.settle()?;

        assert_eq!(account.charge_user(1, ONE).err(), Some(edquot()));
        assert_eq!(account.used(), 50);

        let _other = account.charge_user(50, ANOTHER)?.settle()?;

        assert_eq!(account.charge_user(1, Uid(3)).err(), Some(ENOMEM));
        drop(first);
        let _again = account.charge_user(30, ONE)?.settle()?;
        Ok(())
    }

    #[test]
    fn more_than_the_heap_may_have_is_no_matter_of_shares() -> Result {
        let account = shared(100)?;

        assert_eq!(account.charge_user(101, ONE).err(), Some(ENOMEM));
        assert_eq!(account.charge_user(100, ONE).err(), Some(edquot()));
        Ok(())
    }

    #[test]
    fn a_request_that_the_heap_refuses_leaves_the_users_sum_alone() -> Result {
        let account = shared(100)?;
        let _others = account.charge_nobody(80)?.settle()?;
        let _theirs = account.charge_user(10, ONE)?.settle()?;

        assert_eq!(account.charge_user(11, ONE).err(), Some(ENOMEM));
        assert_eq!(account.charge_user(11, ANOTHER).err(), Some(ENOMEM));
        assert_eq!(account.sums.lock().users.get(&ONE).copied(), Some(10));
        assert!(account.sums.lock().users.get(&ANOTHER).is_none());
        assert_eq!(account.used(), 90);
        Ok(())
    }

    #[test]
    fn what_is_beyond_a_users_limit_is_not_in_the_users_sum() -> Result {
        let account = shared(100)?;
        let within = account.charge_user(50, ONE)?.settle()?;
        let beyond = account.charge_nobody(10)?.settle()?;

        drop(within);
        let _again = account.charge_user(50, ONE)?.settle()?;
        assert_eq!(account.used(), 60);
        drop(beyond);
        assert_eq!(account.charge_user(1, ONE).err(), Some(edquot()));
        Ok(())
    }

    #[test]
    fn the_limit_of_a_user_follows_until_it_is_set() -> Result {
        let half = shared(100)?;
        let whole = Account::of_area(100)?;

        assert_eq!((half.user_limit(), whole.user_limit()), (50, 100));
        half.set_limit(60);
        whole.set_limit(60);
        assert_eq!((half.user_limit(), whole.user_limit()), (30, 60));
        half.set_user_limit(7);
        half.set_limit(80);
        assert_eq!(half.user_limit(), 7);
        assert_eq!(half.charge_user(8, ONE).err(), Some(edquot()));
        let _charge = half.charge_user(7, ONE)?.settle()?;
        Ok(())
    }

    #[test]
    fn a_user_without_buffers_is_forgotten() -> Result {
        let account = shared(100)?;

        drop(account.charge_user(50, Uid(7))?);
        assert!(account.sums.lock().users.is_empty());
        assert!(account.sums.lock().spare.is_some());
        assert!(account.charge_user(51, Uid(7)).is_err());
        assert!(account.sums.lock().users.is_empty());
        assert_eq!(account.used(), 0);
        Ok(())
    }
}
