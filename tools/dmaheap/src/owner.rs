// SPDX-License-Identifier: GPL-2.0

//! Names of users and groups.
//!
//! Read from the files rather than through the C library, whose name service
//! cannot be part of a static binary. Who is in neither file is shown by
//! number.

/// Numbers and names of users and groups.
pub(crate) struct Names {
    passwd: String,
    group: String,
}

impl Names {
    /// Reads both files; a missing one names nobody.
    pub(crate) fn read() -> Self {
        Self {
            passwd: std::fs::read_to_string("/etc/passwd").unwrap_or_default(),
            group: std::fs::read_to_string("/etc/group").unwrap_or_default(),
        }
    }

    pub(crate) fn user(&self, uid: u32) -> String {
        look_up(&self.passwd, uid)
    }

    pub(crate) fn group(&self, gid: u32) -> String {
        look_up(&self.group, gid)
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
}
