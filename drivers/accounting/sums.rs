// SPDX-License-Identifier: GPL-2.0

//! The sums of an account, under its lock.

use crate::abstractions::{
    task::Uid,
    versions::edquot, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    }, //
};

/// What a user may have until root says otherwise.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Share {
    /// Half of the limit: another user finds something, too.
    Half,
    /// All of it: the memory is there to be used up, and running out of it harms nobody else.
    Whole,
}

pub(super) struct Sums {
    pub(super) limit: u64,
    /// What root wrote.
    pub(super) user_limit: Option<u64>,
    pub(super) share: Share,
    /// What buffers have, or may be about to have.
    pub(super) used: u64,
    /// How much of that is asked of an area, which may refuse it. Of an area, no more than there is
    /// can be had, whoever asks for how much: so it is in nobody's way but the same user's.
    pub(super) claimed: u64,
    /// What each user has allocated within the user's limit; those with nothing are left out.
    pub(super) users: RBTree<Uid, u64>,
    /// What a user's entry left who has nothing any more: where there is one user, with one buffer
    /// at a time, no entry is allocated for each.
    pub(super) spare: Option<Room>,
}

/// Memory for an entry of [`Sums::users`]. Made and freed without the lock, which all users share.
pub(super) type Room = RBTreeNodeReservation<Uid, u64>;

/// How [`Sums::add_for`] ends that is not refused.
#[derive(Debug, PartialEq)]
pub(super) enum Added {
    Done,
    /// Nothing is added: the user is new, and there is no [`Room`].
    NeedsRoom,
}

impl Sums {
    pub(super) fn user_limit(&self) -> u64 {
        self.user_limit.unwrap_or(match self.share {
            Share::Half => self.limit / 2,
            Share::Whole => self.limit,
        })
    }

    /// Returns `sum` with `bytes` more, unless that is above `limit`.
    fn fit(sum: u64, bytes: u64, limit: u64) -> Option<u64> {
        sum.checked_add(bytes).filter(|new| *new <= limit)
    }

    /// Returns what others' requests have to leave: what buffers have and, of any memory, what is
    /// being gathered for them.
    pub(super) fn taken(&self) -> u64 {
        self.used - self.claimed
    }

    /// Adds `bytes` to the heap's sum, or returns `ENOMEM`.
    pub(super) fn add(&mut self, bytes: u64) -> Result {
        let _ = Self::fit(self.taken(), bytes, self.limit).ok_or(ENOMEM)?;

        self.used = self.used.checked_add(bytes).ok_or(ENOMEM)?;
        if self.share == Share::Whole {
            self.claimed += bytes;
        }
        Ok(())
    }

    /// Counts `bytes` that an area was asked for as what a buffer has. Returns `ENOMEM` if others
    /// were given the rest meanwhile.
    pub(super) fn settle(&mut self, bytes: u64) -> Result {
        let _ = Self::fit(self.taken(), bytes, self.limit).ok_or(ENOMEM)?;

        self.claimed -= bytes;
        Ok(())
    }

    /// Notes that an area is not asked for `bytes` any more.
    pub(super) fn withdraw(&mut self, bytes: u64) {
        self.claimed -= bytes;
    }

    /// Adds `bytes` to the sums of `user` and of the heap, or to neither.
    ///
    /// More than the heap may ever have is `ENOMEM`, for everybody; then the user's limit comes
    /// first, with `EDQUOT`.
    pub(super) fn add_for(
        &mut self,
        user: Uid,
        bytes: u64,
        room: &mut Option<Room>,
    ) -> Result<Added> {
        let _ = Self::fit(0, bytes, self.limit).ok_or(ENOMEM)?;
        let theirs = self.users.get(&user).copied();
        let new = Self::fit(theirs.unwrap_or(0), bytes, self.user_limit()).ok_or_else(edquot)?;

        if theirs.is_none() && room.is_none() && self.spare.is_none() {
            // Only a request that would be granted allocates anything.
            let _ = Self::fit(self.taken(), bytes, self.limit).ok_or(ENOMEM)?;
            return Ok(Added::NeedsRoom);
        }
        self.add(bytes)?;
        match self.users.get_mut(&user) {
            Some(theirs) => *theirs = new,
            None => {
                if let Some(room) = self.spare.take().or_else(|| room.take()) {
                    self.users.insert(room.into_node(user, new));
                }
            }
        }
        Ok(Added::Done)
    }

    /// Takes `bytes` back that were added, of the sum of `user`, too. Returns a [`Room`] that is
    /// left over, to be freed without the lock.
    pub(super) fn subtract(&mut self, bytes: u64, user: Option<Uid>) -> Option<Room> {
        self.used -= bytes;

        let user = user?;
        let theirs = self.users.get_mut(&user)?;

        *theirs -= bytes;
        if *theirs > 0 {
            return None;
        }

        let room = self.users.remove_node(&user)?.into_reservation();

        self.spare.replace(room)
    }
}
