// SPDX-License-Identifier: GPL-2.0

//! Whether the caller may open a node, and if not, why.

use super::system::Me;
use crate::owner::Names;

/// Who a node belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) gid: u32,
    pub(super) mode: u32,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// The caller may open it.
    May,
    /// Those in this group may.
    Join(String),
    /// The caller has come into this group, but not in this session.
    LogInAgain(String),
    /// Root may.
    Closed,
}

/// `accessible` is the kernel's own answer, which knows of access control lists.
pub(super) fn judge(owner: Owner, accessible: bool, me: &Me, names: &Names) -> Verdict {
    let group_may = owner.mode & 0o040 != 0 && owner.gid != 0;
    if accessible {
        Verdict::May
    } else if !group_may || me.gids.contains(&owner.gid) {
        Verdict::Closed
    } else if names.is_member(me.uid, owner.gid) {
        Verdict::LogInAgain(names.group(owner.gid))
    } else {
        Verdict::Join(names.group(owner.gid))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    #[test]
    fn who_may_not_open_it_is_told_why() -> std::io::Result<()> {
        let tree = Tree::new()?;
        tree.write("etc/passwd", "me:x:1000:1000::/:/bin/sh\n")?;
        tree.write("etc/group", "video:x:44:\nrender:x:105:me\n")?;
        let names = Names::read_below(tree.path());
        let (uid, gids) = (1000, vec![1000]);
        let me = Me { uid, gids };
        for (gid, mode, accessible, verdict) in [
            (44, 0o660, true, Verdict::May),
            (44, 0o660, false, Verdict::Join("video".into())),
            (105, 0o660, false, Verdict::LogInAgain("render".into())),
            (44, 0o600, false, Verdict::Closed),
            (0, 0o660, false, Verdict::Closed),
            (7, 0o640, false, Verdict::Join("7".into())),
            // Its own group, and still refused: a list says so.
            (1000, 0o660, false, Verdict::Closed),
        ] {
            let owner = Owner { gid, mode };
            assert_eq!(judge(owner, accessible, &me, &names), verdict, "{owner:?}");
        }
        Ok(())
    }
}
