// SPDX-License-Identifier: GPL-2.0

//! What the buffers of one user may take, and who counts as one.
//!
//! The users are child processes that got the heap's node from root. They end at
//! once, and their buffers stay with this process.

use crate::Test;
use crate::child;
use crate::child::Role;
use crate::limits::Limit;
use crate::limits::NO_LIMIT;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::errno;
use crate::outcome::fail;
use crate::outcome::refused;
use crate::outcome::skip;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::sys::pages::Pages;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;

pub(crate) const TESTS: &[Test] = &[
    ("a user's share is exact: EDQUOT beyond", exact),
    ("a user pays for a buffer that others hold", whoever_holds),
    ("a user's share leaves the rest to others", others),
    ("root is bound by the whole limit only", root),
    (
        "root of a user namespace has no more than its user",
        root_of_namespace,
    ),
    ("root without capabilities has a user's share", bare_root),
    (
        "subordinate ids have a share in common with their owner",
        subordinates,
    ),
    (
        "users of a namespace that root made have a share each",
        of_roots_namespace,
    ),
    ("within its share nobody is asked for a capability", quiet),
];

/// Two users who own nothing, by tradition.
const ONE: u32 = 65534;
const ANOTHER: u32 = 65533;

/// Pages of a user's share, beyond what the heap's other buffers take.
const PAGES: u64 = 8;

/// Runs a test with a limit of which a user gets a known share in bytes.
fn with_share(target: &Target, test: impl FnOnce(u64) -> Result<(), Failure>) -> TestResult {
    let (Some(before), Some(used)) = (target.limit(), target.used()) else {
        return skip(NO_LIMIT);
    };
    if !rustix::process::geteuid().is_root() {
        return skip("only root can become another user");
    }
    let share = used + PAGES * page();
    let lowered = Limit::set(target, before, 2 * share)
        .and_then(|limit| Ok((limit, Limit::set_of_user(target, share)?)));
    let lowered = match lowered {
        Ok(limits) => limits,
        Err(reason) => return skip(reason),
    };
    test(share)?;
    target.expect_used(Some(used))?;
    drop(lowered);
    Ok(Pass)
}

/// Allocates as `user`, in a process that ends before this returns.
fn alloc_as(user: u32, target: &Target, bytes: u64) -> Result<Result<Buffer, Errno>, Failure> {
    match play_as(user, Role::Give, target, bytes)? {
        Got::Buffer(buffer) => Ok(Ok(buffer)),
        Got::Errno(errno) => Ok(Err(errno)),
        Got::NoNamespace => fail("the child asks for a user namespace"),
    }
}

/// What a child says.
enum Got {
    Buffer(Buffer),
    Errno(Errno),
    NoNamespace,
}

fn play_as(user: u32, role: Role, target: &Target, bytes: u64) -> Result<Got, Failure> {
    play(user, role, None, target, bytes)
}

/// As that, in a namespace which `user` makes, and of which this process says by `map`
/// who its users 0 and 1 are.
fn play(
    user: u32,
    role: Role,
    map: Option<&str>,
    target: &Target,
    bytes: u64,
) -> Result<Got, Failure> {
    let (mut near, far) = UnixStream::pair()?;
    let node = target.heap.as_fd().try_clone_to_owned()?;
    let mut child = child::command(role, target.name(), bytes)?
        .uid(user)
        .gid(user)
        .stdin(node)
        .stdout(OwnedFd::from(far))
        .spawn()?;
    if let Some(map) = map {
        // It says that it has a namespace, or ends without a word.
        if near.read(&mut [0])? == 1 {
            // Who has no group has no namespace, either.
            let mapped = ["uid_map", "gid_map"]
                .map(|file| std::fs::write(format!("/proc/{}/{file}", child.id()), map));
            near.write_all(b"!")?;
            mapped.into_iter().collect::<Result<(), _>>()?;
        }
    }
    let status = child.wait()?;
    match status.code() {
        Some(0) => Ok(Got::Buffer(Buffer::receive(&near)?.0)),
        Some(child::NO_NAMESPACE) => Ok(Got::NoNamespace),
        Some(code) if code != child::CONFUSED => Ok(Got::Errno(Errno::from_raw_os_error(code))),
        _ => fail(format!("the child of user {user} ended with {status}")),
    }
}

fn exact(target: &Target) -> TestResult {
    with_share(target, |share| {
        let alloc = |bytes| alloc_as(ONE, target, bytes);
        refused("a page too many", alloc(share + page())?, Errno::DQUOT)?;
        let first = alloc(share - 3 * page())??;
        refused("four pages of three", alloc(4 * page())?, Errno::DQUOT)?;
        let second = alloc(3 * page())??;
        refused("a page of none", alloc(page())?, Errno::DQUOT)?;
        drop(first);
        target.expect_used(Some(share - PAGES * page() + 3 * page()))?;
        drop(alloc(share - 3 * page())??);
        drop(second);
        Ok(())
    })
}

fn whoever_holds(target: &Target) -> TestResult {
    with_share(target, |share| {
        let alloc = || alloc_as(ONE, target, page());
        let buffer = alloc_as(ONE, target, share)??;
        refused("with a buffer in root's hands", alloc()?, Errno::DQUOT)?;
        let mut pages = Pages::map(buffer.as_fd(), 0, 2, true)?;
        drop(buffer);
        refused("with a mapping of it", alloc()?, Errno::DQUOT)?;
        pages.unmap(0..1)?;
        refused("with one page mapped", alloc()?, Errno::DQUOT)?;
        drop(pages);
        target.expect_used(Some(share - PAGES * page()))?;
        alloc_as(ONE, target, share)??;
        Ok(())
    })
}

fn others(target: &Target) -> TestResult {
    with_share(target, |share| {
        let first = alloc_as(ONE, target, share)??;
        refused(
            "the first user",
            alloc_as(ONE, target, page())?,
            Errno::DQUOT,
        )?;
        let second = alloc_as(ANOTHER, target, (PAGES - 1) * page())??;
        // The last page of the heap's limit, for whoever comes first.
        let third = target.heap.alloc(page())?;
        refused(
            "a full heap",
            alloc_as(ANOTHER, target, page())?,
            Errno::NOMEM,
        )?;
        drop(third);
        drop(first);
        let fourth = alloc_as(ONE, target, page())??;
        drop((second, fourth));
        Ok(())
    })
}

fn root(target: &Target) -> TestResult {
    with_share(target, |share| {
        let rest = share + PAGES * page();
        let buffer = target.heap.alloc(rest)?;
        refused(
            "a page more",
            errno(target.heap.alloc(page())),
            Errno::NOMEM,
        )?;
        drop(buffer);
        Ok(())
    })
}

fn root_of_namespace(target: &Target) -> TestResult {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can become another user");
    }
    if let Got::NoNamespace = play_as(ONE, Role::GiveAsRoot, target, page())? {
        return skip("the machine does not let users have namespaces");
    }
    with_share(target, |share| {
        let alloc = |bytes| play_as(ONE, Role::GiveAsRoot, target, bytes);
        let Got::Errno(Errno::DQUOT) = alloc(share + page())? else {
            return fail("it got more than its user's share");
        };
        let Got::Buffer(first) = alloc(share)? else {
            return fail("it did not get its user's share");
        };
        refused(
            "its user, who has nothing left",
            alloc_as(ONE, target, page())?,
            Errno::DQUOT,
        )?;
        drop(first);
        Ok(())
    })
}

fn bare_root(target: &Target) -> TestResult {
    with_share(target, |share| {
        let alloc = |bytes| play_as(0, Role::GiveBare, target, bytes);
        let Got::Errno(Errno::DQUOT) = alloc(share + page())? else {
            return fail("it got more than a user's share");
        };
        let Got::Buffer(first) = alloc(share)? else {
            return fail("it did not get a user's share");
        };
        let Got::Errno(Errno::DQUOT) = alloc(page())? else {
            return fail("it got a page beyond its share");
        };
        // It is another user's as much as before.
        drop(alloc_as(ONE, target, share)??);
        // With the capability, root may go on.
        drop(target.heap.alloc(page())?);
        drop(first);
        Ok(())
    })
}

/// The users 0 and 1 of a namespace that the user ONE makes, as newuidmap lets it: itself,
/// and a subordinate id.
const SUBORDINATE: &str = "0 65534 1\n1 100000 1\n";

/// Those of one that root makes, as a daemon does for a container.
const CONTAINER: &str = "0 100000 2\n";

fn subordinates(target: &Target) -> TestResult {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can become another user");
    }
    let first = |bytes| play(ONE, Role::GiveAsFirst, Some(SUBORDINATE), target, bytes);
    let second = |bytes| play(ONE, Role::GiveAsSecond, Some(SUBORDINATE), target, bytes);
    let inside = || play(ONE, Role::GiveInside, Some(SUBORDINATE), target, 2 * page());
    if let Got::NoNamespace = first(page())? {
        return skip("the machine does not let users have namespaces");
    }
    with_share(target, |share| {
        let Got::Buffer(most) = second(share - page())? else {
            return fail("the subordinate user did not get its owner's share");
        };
        for (who, got) in [
            ("the owner", play_as(ONE, Role::Give, target, 2 * page())?),
            ("the owner as root of it", first(2 * page())?),
            ("the subordinate user", second(2 * page())?),
            ("the subordinate user in a namespace inside", inside()?),
            (
                "the owner in another one",
                play_as(ONE, Role::GiveAsRoot, target, 2 * page())?,
            ),
        ] {
            match got {
                Got::Errno(Errno::DQUOT) => {}
                Got::NoNamespace => return fail(format!("{who} has no namespace")),
                _ => return fail(format!("{who} got a page beyond the share")),
            }
        }
        let Got::Buffer(last) = first(page())? else {
            return fail("the owner did not get the last page of its share");
        };
        drop((most, last));
        Ok(())
    })
}

fn of_roots_namespace(target: &Target) -> TestResult {
    let first = |bytes| play(0, Role::GiveAsFirst, Some(CONTAINER), target, bytes);
    let second = |bytes| play(0, Role::GiveAsSecond, Some(CONTAINER), target, bytes);
    with_share(target, |share| {
        let Got::Buffer(whole) = first(share)? else {
            return fail("root of the container did not get a user's share");
        };
        let Got::Errno(Errno::DQUOT) = first(page())? else {
            return fail("root of the container got a page beyond its share");
        };
        let Got::Buffer(others) = second((PAGES - 1) * page())? else {
            return fail("another user of the container did not get a share of its own");
        };
        drop((whole, others));
        Ok(())
    })
}

fn quiet(target: &Target) -> TestResult {
    if !rustix::process::geteuid().is_root() {
        return skip("only root has capabilities to be asked for");
    }
    let output = child::command(Role::Quietly, target.name(), page())?.output()?;
    if output.status.success() {
        return Ok(Pass);
    }
    fail(String::from_utf8_lossy(&output.stderr).trim())
}
