// SPDX-License-Identifier: GPL-2.0

//! The nodes of compatible names: which there should be, and making them so.

use anyhow::Context as _;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::FlockOperation;
use rustix::fs::Gid;
use rustix::fs::Mode;
use rustix::fs::Uid;
use rustix::fs::XattrFlags;
use rustix::fs::makedev;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Major and minor.
pub(super) type Number = (u32, u32);

/// A node that there should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) number: Number,
    /// The heap whose own node has the rights that this one gets, too.
    pub(super) heap: String,
}

/// What stands in the directory under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Node(Number),
    Link(PathBuf),
    Other,
}

/// What is to be done, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) remove: Vec<String>,
    pub(super) make: BTreeMap<String, Wanted>,
    /// Nodes that stay, and get the rights of the heap's own.
    pub(super) keep: BTreeMap<String, Wanted>,
}

/// Decides.
///
/// `made` are the nodes that this program has made; it removes no other. `own`
/// are the heaps' own names, which win over compatible ones: the kernel cannot
/// make a node where one of ours stands, so ours gives way to one that is made
/// for it. Links with one of `names` to one of `ours` are what older versions of
/// the udev rules have left.
pub(super) fn plan(
    found: &BTreeMap<String, Found>,
    made: &BTreeMap<String, Number>,
    own: &BTreeMap<String, Number>,
    wanted: &BTreeMap<String, Wanted>,
    names: &BTreeSet<&str>,
    ours: &BTreeSet<&str>,
) -> Plan {
    let mut plan = Plan::default();
    let mut left = found.clone();
    for (name, it) in found {
        let stays = |number| {
            own.get(name) == Some(number)
                || !own.contains_key(name)
                    && wanted.get(name).is_some_and(|node| node.number == *number)
        };
        let goes = match it {
            Found::Node(number) => made.get(name) == Some(number) && !stays(number),
            Found::Link(to) => {
                names.contains(&**name) && to.to_str().is_some_and(|to| ours.contains(to))
            }
            Found::Other => false,
        };
        if goes {
            plan.remove.push(name.clone());
            left.remove(name);
        }
    }
    for (name, number) in own {
        if plan.remove.contains(name) {
            let (number, heap) = (*number, name.clone());
            plan.make.insert(name.clone(), Wanted { number, heap });
        }
    }
    for (name, node) in wanted.iter().filter(|(name, _)| !own.contains_key(*name)) {
        match left.get(name) {
            None => {
                plan.make.insert(name.clone(), node.clone());
            }
            Some(Found::Node(number)) if made.get(name) == Some(number) => {
                plan.keep.insert(name.clone(), node.clone());
            }
            // Somebody else's.
            Some(_) => {}
        }
    }
    plan
}

/// Who may open a node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rights {
    uid: u32,
    gid: u32,
    mode: u32,
    /// The access control list and the label, as the kernel keeps them.
    xattrs: [Option<Vec<u8>>; XATTRS.len()],
    /// Whoever sits at the machine gets them, by logind.
    seat: bool,
}

/// What a node has beside its owner and mode.
const XATTRS: [&str; 2] = ["system.posix_acl_access", "security.selinux"];

/// The directory of the nodes, and what this program remembers of those that it
/// has made. No other is at it while this lives.
pub(super) struct Directory {
    path: PathBuf,
    record: PathBuf,
    seats: PathBuf,
    _lock: File,
}

impl Directory {
    /// Waits for its turn. `run` is for root alone: whoever may open the lock may
    /// hold it for ever.
    ///
    /// # Errors
    ///
    /// The lock cannot be made or taken.
    pub(super) fn lock(path: &str, run: &str, seats: &str) -> anyhow::Result<Self> {
        let run = Path::new(run);
        let lock = || {
            std::fs::create_dir_all(run)?;
            std::fs::set_permissions(run, Permissions::from_mode(0o700))?;
            let file = File::create(run.join("lock"))?;
            rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
            std::io::Result::Ok(file)
        };
        Ok(Self {
            path: path.into(),
            record: run.join("nodes"),
            seats: seats.into(),
            _lock: lock().with_context(|| format!("cannot lock {}", run.display()))?,
        })
    }

    /// What stands in it.
    pub(super) fn found(&self) -> anyhow::Result<BTreeMap<String, Found>> {
        let mut found = BTreeMap::new();
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            other => other.with_context(|| format!("cannot read {}", self.path.display()))?,
        };
        for entry in entries {
            let Ok(name) = entry?.file_name().into_string() else {
                continue;
            };
            let path = self.path.join(&name);
            let Ok(stat) = rustix::fs::lstat(&path) else {
                continue;
            };
            let it = match FileType::from_raw_mode(stat.st_mode) {
                FileType::CharacterDevice => Found::Node((
                    rustix::fs::major(stat.st_rdev),
                    rustix::fs::minor(stat.st_rdev),
                )),
                FileType::Symlink => std::fs::read_link(&path).map_or(Found::Other, Found::Link),
                _ => Found::Other,
            };
            found.insert(name, it);
        }
        Ok(found)
    }

    /// The nodes that this program has made.
    pub(super) fn made(&self) -> anyhow::Result<BTreeMap<String, Number>> {
        let text = match std::fs::read_to_string(&self.record) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.with_context(|| format!("cannot read {}", self.record.display()))?,
        };
        let parse = |line: &str| {
            let (name, number) = line.split_once(' ')?;
            let (major, minor) = number.split_once(':')?;
            Some((name.to_owned(), (major.parse().ok()?, minor.parse().ok()?)))
        };
        Ok(text.lines().filter_map(parse).collect())
    }

    /// Does it. What cannot be done keeps nothing else from being done.
    ///
    /// # Errors
    ///
    /// The first thing that could not be done.
    pub(super) fn carry_out(&self, plan: &Plan) -> anyhow::Result<()> {
        let mut made = self.made()?;
        let mut result = Ok(());
        for name in &plan.remove {
            let done = self.remove(name);
            if done.is_ok() {
                made.remove(name);
            }
            result = result.and(done.with_context(|| format!("cannot remove {name}")));
        }
        for (name, node) in &plan.make {
            // Before it is made: one that is forgotten would stay for ever.
            made.insert(name.clone(), node.number);
            let done = self.remember(&made).and_then(|()| self.make(name, node));
            result = result.and(done.with_context(|| format!("cannot make {name}")));
        }
        for (name, node) in &plan.keep {
            let done = self.set_rights(name, node);
            result = result.and(done.with_context(|| format!("cannot change {name}")));
        }
        // The kernel could not, as long as there was one of ours in it.
        let _ = rustix::fs::rmdir(&self.path);
        result.and(self.remember(&made))
    }

    /// All or nothing: what is there before is whole until the other is.
    fn remember(&self, made: &BTreeMap<String, Number>) -> anyhow::Result<()> {
        let line = |(name, (major, minor)): (&String, &Number)| format!("{name} {major}:{minor}\n");
        let lines: Vec<String> = made.iter().map(line).collect();
        let new = self.record.with_extension("new");
        std::fs::write(&new, lines.concat())
            .and_then(|()| std::fs::rename(&new, &self.record))
            .with_context(|| format!("cannot write {}", self.record.display()))
    }

    fn remove(&self, name: &str) -> anyhow::Result<()> {
        unlink(&self.seat(name))?;
        unlink(&self.path.join(name))
    }

    /// Nobody may open it until it has its owner.
    fn make(&self, name: &str, node: &Wanted) -> anyhow::Result<()> {
        let (major, minor) = node.number;
        std::fs::create_dir_all(&self.path)?;
        rustix::fs::mknodat(
            CWD,
            self.path.join(name),
            FileType::CharacterDevice,
            Mode::empty(),
            makedev(major, minor),
        )?;
        self.set_rights(name, node)
    }

    /// Gives a node the rights that the heap's own has. logind may change those at
    /// any time, and changes this one's as well once it has a link for it.
    fn set_rights(&self, name: &str, node: &Wanted) -> anyhow::Result<()> {
        if name == node.heap {
            // What the kernel gives it; the rules come after that.
            return Ok(self.chmod(name, 0o600)?);
        }
        let mut rights = self.rights(node)?;
        for _ in 0..8 {
            self.write_rights(name, &rights)?;
            let now = self.rights(node)?;
            if now == rights {
                break;
            }
            rights = now;
        }
        Ok(())
    }

    fn rights(&self, node: &Wanted) -> anyhow::Result<Rights> {
        let (major, minor) = node.number;
        let path = self.path.join(&node.heap);
        let stat = rustix::fs::lstat(&path).with_context(|| format!("{} is missing", node.heap))?;
        anyhow::ensure!(
            stat.st_rdev == makedev(major, minor),
            "{} is another device",
            node.heap
        );
        let xattr = |name| {
            let mut value = [0; 4096];
            let len = rustix::fs::lgetxattr(&path, name, &mut value).ok()?;
            Some(value.get(..len)?.to_vec())
        };
        // The tags that the device has now, and not one that it had.
        let known = std::fs::read_to_string(format!("/run/udev/data/c{major}:{minor}"));
        Ok(Rights {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            xattrs: XATTRS.map(xattr),
            seat: known.is_ok_and(|text| text.lines().any(|line| line == "Q:uaccess")),
        })
    }

    fn write_rights(&self, name: &str, rights: &Rights) -> anyhow::Result<()> {
        let (path, seat) = (self.path.join(name), self.seat(name));
        if !rights.seat {
            unlink(&seat)?;
        } else if std::fs::symlink_metadata(&seat).is_err() {
            std::fs::create_dir_all(&self.seats)?;
            std::os::unix::fs::symlink(&path, seat)?;
        }
        rustix::fs::chownat(
            CWD,
            &path,
            Some(Uid::from_raw(rights.uid)),
            Some(Gid::from_raw(rights.gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        for (name, value) in XATTRS.iter().zip(&rights.xattrs) {
            match value {
                Some(value) => rustix::fs::lsetxattr(&path, *name, value, XattrFlags::empty())?,
                None => match rustix::fs::lremovexattr(&path, *name) {
                    Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
        // Last: what the mode says of the group is the mask of the list.
        Ok(self.chmod(name, rights.mode)?)
    }

    fn chmod(&self, name: &str, mode: u32) -> rustix::io::Result<()> {
        let path = self.path.join(name);
        rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())
    }

    /// Where logind finds nodes that are no device's own, by names that udev
    /// would choose.
    fn seat(&self, name: &str) -> PathBuf {
        self.seats.join(format!("dma_heap\\x2f{name}"))
    }
}

/// Removes a file that may be gone already.
fn unlink(path: &Path) -> anyhow::Result<()> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CMA: Number = (250, 0);
    const OTHER: Number = (251, 0);

    fn wanted(number: Number) -> Wanted {
        Wanted {
            number,
            heap: "heap".into(),
        }
    }

    fn map<T: Clone>(pairs: &[(&str, T)]) -> BTreeMap<String, T> {
        let own = |(name, it): &(&str, T)| ((*name).to_owned(), it.clone());
        pairs.iter().map(own).collect()
    }

    fn plan_of(
        found: &[(&str, Found)],
        made: &[(&str, Number)],
        own: &[(&str, Number)],
        want: &[(&str, Number)],
    ) -> Plan {
        let want: Vec<_> = want.iter().map(|(k, v)| (*k, wanted(*v))).collect();
        plan(
            &map(found),
            &map(made),
            &map(own),
            &map(&want),
            &BTreeSet::from(["linux,cma", "system"]),
            &BTreeSet::from(["default_cma_region"]),
        )
    }

    #[test]
    fn what_is_missing_is_made() {
        let plan = plan_of(
            &[("default_cma_region", Found::Node(CMA))],
            &[],
            &[("default_cma_region", CMA)],
            &[("linux,cma", CMA)],
        );
        assert_eq!(plan.make, map(&[("linux,cma", wanted(CMA))]));
        assert_eq!((plan.remove.len(), plan.keep.len()), (0, 0));
    }

    #[test]
    fn what_others_made_stays() {
        let others = [
            Found::Node(OTHER),
            Found::Other,
            Found::Link("/dev/null".into()),
            Found::Link("reserved".into()),
        ];
        for it in others {
            let plan = plan_of(&[("linux,cma", it)], &[], &[], &[("linux,cma", CMA)]);
            assert_eq!(plan, Plan::default());
        }
    }

    #[test]
    fn ours_stay_while_they_lead_there_and_go_with_the_heap() {
        let found = [("linux,cma", Found::Node(CMA))];
        let made = [("linux,cma", CMA)];
        let plan = plan_of(&found, &made, &[], &[("linux,cma", CMA)]);
        assert_eq!(plan.keep, map(&[("linux,cma", wanted(CMA))]));
        assert!(plan.remove.is_empty() && plan.make.is_empty());
        let plan = plan_of(&found, &made, &[], &[]);
        assert_eq!(plan.remove, ["linux,cma"]);
        // It leads elsewhere now.
        let plan = plan_of(&found, &made, &[], &[("linux,cma", OTHER)]);
        assert_eq!(plan.remove, ["linux,cma"]);
        assert_eq!(plan.make, map(&[("linux,cma", wanted(OTHER))]));
        // Somebody put another one in its place.
        let found = [("linux,cma", Found::Node(OTHER))];
        assert!(plan_of(&found, &made, &[], &[]).remove.is_empty());
    }

    #[test]
    fn links_of_older_rules_go() {
        let links = [
            ("linux,cma", Found::Link("default_cma_region".into())),
            ("mine", Found::Link("default_cma_region".into())),
        ];
        let plan = plan_of(&links, &[], &[], &[("linux,cma", CMA)]);
        assert_eq!(plan.remove, ["linux,cma"]);
        assert_eq!(plan.make, map(&[("linux,cma", wanted(CMA))]));
    }

    #[test]
    fn a_heap_of_that_name_takes_its_place() {
        let own = [("system-pooled", CMA), ("system", OTHER)];
        let plan = plan_of(
            &[("system", Found::Node(CMA))],
            &[("system", CMA)],
            &own,
            &[("system", CMA)],
        );
        assert_eq!(plan.remove, ["system"]);
        let (number, heap) = (OTHER, "system".to_owned());
        assert_eq!(plan.make, map(&[("system", Wanted { number, heap })]));
        // And goes with it, as the kernel did not make it.
        let found = [("system", Found::Node(OTHER))];
        let made = [("system", OTHER)];
        assert_eq!(plan_of(&found, &made, &own, &[]), Plan::default());
        assert_eq!(plan_of(&found, &made, &[], &[]).remove, ["system"]);
    }

    #[test]
    fn what_was_made_is_remembered() -> anyhow::Result<()> {
        let dir = std::env::temp_dir().join(format!("dmaheap-names-{}", std::process::id()));
        let path = |name: &str| dir.join(name).display().to_string();
        let directory = Directory::lock(&path("dev"), &path("run"), &path("seats"))?;
        assert_eq!(directory.made()?, BTreeMap::new());
        let made = map(&[("linux,cma", CMA), ("system", OTHER)]);
        directory.remember(&made)?;
        let read = directory.made();
        let mode = std::fs::metadata(dir.join("run"))?.permissions().mode();
        std::fs::remove_dir_all(&dir)?;
        assert_eq!(read?, made);
        assert_eq!(mode & 0o777, 0o700);
        Ok(())
    }
}
