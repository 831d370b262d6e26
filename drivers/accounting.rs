// SPDX-License-Identifier: GPL-2.0

//! How much memory the buffers of a heap may take, and do take: in all, and of each user.

#![deny(unsafe_code)]

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
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
    },
    sync::{
        new_spinlock,
        Arc,
        SpinLock, //
    }, //
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
}

/// What a user may have until root says otherwise.
#[derive(Clone, Copy)]
enum Share {
    /// Half of the limit: another user finds something, too.
    Half,
    /// All of it: the memory is there to be used up, and running out of it harms nobody else.
    Whole,
}

struct Sums {
    limit: u64,
    /// What root wrote.
    user_limit: Option<u64>,
    share: Share,
    used: u64,
    /// What each user has allocated within the user's limit; those with nothing are left out.
    users: RBTree<Uid, u64>,
}

/// Memory for an entry of [`Sums::users`]. Made and freed without the lock, which all users share.
type Room = RBTreeNodeReservation<Uid, u64>;

/// How [`Sums::add_for`] ends that is not refused.
#[derive(Debug, PartialEq)]
enum Added {
    Done,
    /// Nothing is added: the user is new, and there is no [`Room`].
    NeedsRoom,
}

impl Sums {
    fn user_limit(&self) -> u64 {
        self.user_limit.unwrap_or(match self.share {
            Share::Half => self.limit / 2,
            Share::Whole => self.limit,
        })
    }

    /// Returns `sum` with `bytes` more, unless that is above `limit`.
    fn fit(sum: u64, bytes: u64, limit: u64) -> Option<u64> {
        sum.checked_add(bytes).filter(|new| *new <= limit)
    }

    /// Adds `bytes` to the heap's sum, or returns `ENOMEM`.
    fn add(&mut self, bytes: u64) -> Result {
        self.used = Self::fit(self.used, bytes, self.limit).ok_or(ENOMEM)?;
        Ok(())
    }

    /// Adds `bytes` to the sums of `user` and of the heap, or to neither.
    ///
    /// More than the heap may ever have is `ENOMEM`, for everybody; then the user's limit comes
    /// first, with `EDQUOT`.
    fn add_for(&mut self, user: Uid, bytes: u64, room: &mut Option<Room>) -> Result<Added> {
        let _ = Self::fit(0, bytes, self.limit).ok_or(ENOMEM)?;
        let theirs = self.users.get(&user).copied();
        let new = Self::fit(theirs.unwrap_or(0), bytes, self.user_limit()).ok_or_else(edquot)?;

        if theirs.is_none() && room.is_none() {
            // Only a request that would be granted allocates anything.
            let _ = Self::fit(self.used, bytes, self.limit).ok_or(ENOMEM)?;
            return Ok(Added::NeedsRoom);
        }
        self.add(bytes)?;
        match self.users.get_mut(&user) {
            Some(theirs) => *theirs = new,
            None => {
                if let Some(room) = room.take() {
                    self.users.insert(room.into_node(user, new));
                }
            }
        }
        Ok(Added::Done)
    }

    /// Takes `bytes` back that were added, of the sum of `user`, too. Returns what the user's entry
    /// was, if it goes, to be freed without the lock.
    fn subtract(&mut self, bytes: u64, user: Option<Uid>) -> Option<RBTreeNode<Uid, u64>> {
        self.used -= bytes;

        let user = user?;
        let theirs = self.users.get_mut(&user)?;

        *theirs -= bytes;
        if *theirs == 0 {
            self.users.remove_node(&user)
        } else {
            None
        }
    }
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
        Arc::pin_init(
            pin_init!(Self {
                sums <- new_spinlock!(Sums {
                    limit,
                    user_limit: None,
                    share,
                    used: 0,
                    users: RBTree::new(),
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
        self.sums.lock().used
    }

    /// Charges `bytes` to the calling task's user until the [`Charge`] is dropped, whoever holds
    /// the buffer then. May sleep.
    ///
    /// Returns `EDQUOT` if that would exceed the user's limit, for a task without
    /// `CAP_SYS_RESOURCE` in the initial user namespace, and `ENOMEM` if it would exceed the
    /// heap's. To be called before any memory is touched.
    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge> {
        match self.charge_user(bytes, payer()) {
            Err(error) if error == edquot() && task::may_exceed_limits() => {
                self.charge_nobody(bytes)
            }
            result => result,
        }
    }

    fn charge_user(self: &Arc<Self>, bytes: u64, user: Uid) -> Result<Charge> {
        let mut room = None;

        // Twice, at most.
        while self.sums.lock().add_for(user, bytes, &mut room)? == Added::NeedsRoom {
            room = Some(Room::new(GFP_KERNEL)?);
        }
        Ok(self.charged(bytes, Some(user)))
    }

    /// Charges what a user takes beyond the user's limit. It is not in the user's sum, which is
    /// never above what it may be thereby.
    fn charge_nobody(self: &Arc<Self>, bytes: u64) -> Result<Charge> {
        self.sums.lock().add(bytes)?;
        Ok(self.charged(bytes, None))
    }

    fn charged(self: &Arc<Self>, bytes: u64, user: Option<Uid>) -> Charge {
        Charge {
            account: self.clone(),
            bytes,
            user,
        }
    }
}

/// Memory charged to an [`Account`], given back on drop.
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: u64,
    user: Option<Uid>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        let entry = self.account.sums.lock().subtract(self.bytes, self.user);

        // The lock is free again.
        drop(entry);
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
        let first = account.charge_user(60, ONE)?;
        let second = account.charge_nobody(40)?;

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
    fn a_sum_that_overflows_is_refused() -> Result {
        let account = Account::of_area(u64::MAX)?;
        let _first = account.charge_user(1, ONE)?;

        assert_eq!(account.charge_nobody(u64::MAX).err(), Some(ENOMEM));
        assert_eq!(account.charge_user(u64::MAX, ONE).err(), Some(edquot()));
        assert_eq!(account.charge_user(u64::MAX, ANOTHER).err(), Some(ENOMEM));
        assert_eq!(account.used(), 1);
        Ok(())
    }

    #[test]
    fn a_lower_limit_keeps_what_is_charged() -> Result {
        let account = Account::of_area(100)?;
        let _charge = account.charge_user(80, ONE)?;

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
        let first = account.charge_user(30, ONE)?;
        let _second = account.charge_user(20, ONE)?;

        assert_eq!(account.charge_user(1, ONE).err(), Some(edquot()));
        assert_eq!(account.used(), 50);

        let _other = account.charge_user(50, ANOTHER)?;

        assert_eq!(account.charge_user(1, Uid(3)).err(), Some(ENOMEM));
        drop(first);
        let _again = account.charge_user(30, ONE)?;
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
        let _others = account.charge_nobody(80)?;
        let _theirs = account.charge_user(10, ONE)?;

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
        let within = account.charge_user(50, ONE)?;
        let beyond = account.charge_nobody(10)?;

        drop(within);
        let _again = account.charge_user(50, ONE)?;
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
        let _charge = half.charge_user(7, ONE)?;
        Ok(())
    }

    #[test]
    fn a_user_without_buffers_is_forgotten() -> Result {
        let account = shared(100)?;

        drop(account.charge_user(50, Uid(7))?);
        assert!(account.sums.lock().users.is_empty());
        assert!(account.charge_user(51, Uid(7)).is_err());
        assert!(account.sums.lock().users.is_empty());
        assert_eq!(account.used(), 0);
        Ok(())
    }
}
