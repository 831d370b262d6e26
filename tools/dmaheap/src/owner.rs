// SPDX-License-Identifier: GPL-2.0

//! Names of users and groups.
//!
//! Read from the files rather than through the C library, whose name service
//! cannot be part of a static binary. Who is in neither file is shown by
//! number.

use std::path::Path;

/// Numbers and names of users and groups.
pub(crate) struct Names {
    passwd: String,
    group: String,
}

impl Names {
    /// Reads both files; a missing one names nobody.
    pub(crate) fn read() -> Self {
        Self::read_below(Path::new("/"))
    }

    /// The same where the files are in `root`/etc.
    pub(crate) fn read_below(root: &Path) -> Self {
        let read = |name| std::fs::read_to_string(root.join(name)).unwrap_or_default();
        Self {
            passwd: read("etc/passwd"),
            group: read("etc/group"),
        }
    }

    pub(crate) fn user(&self, uid: u32) -> String {
        look_up(&self.passwd, uid)
    }

    pub(crate) fn group(&self, gid: u32) -> String {
        look_up(&self.group, gid)
    }

    /// Whether the file puts a user into a group, beside the user's first one.
    pub(crate) fn is_member(&self, uid: u32, gid: u32) -> bool {
        let (user, number) = (self.user(uid), gid.to_string());
        self.group.lines().any(|line| {
            let mut fields = line.split(':').skip(2);
            fields.next() == Some(&number)
                && fields
                    .next()
                    .is_some_and(|members| members.split(',').any(|name| name == user))
        })
    }
}

/// The name in a file of lines `name:password:number:…`, or the number.
fn look_up(file: &str, id: u32) -> String {
    let number = id.to_string();
    file.lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == number).then(|| name.to_owned())
        })
        .unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let file = "root:x:0:\n# nonsense\nvideo:x:44:me,you\n";
        assert_eq!(look_up(file, 0), "root");
        assert_eq!(look_up(file, 44), "video");
        assert_eq!(look_up(file, 4), "4");
    }

    #[test]
    fn members() {
        let names = Names {
            passwd: "me:x:1000:1000::/:\nyou:x:1001:44::/:\n".into(),
            group: "video:x:44:him,me\nrender:x:4:\n".into(),
        };
        assert!(names.is_member(1000, 44));
        assert!(!names.is_member(1000, 4));
        assert!(!names.is_member(1001, 44));
    }
}
