// SPDX-License-Identifier: GPL-2.0

//! What the test binary does as a process of its own: be refused, be killed,
//! run out of memory, or be given a buffer.
//!
//! A child is this binary again, with a first argument that no user types. It
//! answers with its exit status: 0, or the errno it met.

use crate::contended_area;
use crate::limit_contention;
use crate::mmap::expect;
use crate::mmap::fill;
use crate::outcome::Failure;
use crate::outcome::fail;
use dma_heap::Buffer;
use dma_heap::Errno;
use dma_heap::Error;
use dma_heap::Heap;
use dma_heap::HeapInfo;
use dma_heap::pattern::Pattern;
use dma_heap::sys::namespace;
use rustix::process::Uid;
use rustix::thread::CapabilitySet;
use rustix::thread::CapabilitySets;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::process::ExitCode;

const MARK: &str = "--child";

/// Exit status of a child that found no errno to report, or was called wrongly.
pub(crate) const CONFUSED: i32 = 255;

/// Exit status of a child that cannot have a user namespace: the machine does not
/// allow it.
pub(crate) const NO_NAMESPACE: i32 = 254;

/// What a child is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Open the heap.
    Open,
    /// Allocate and free until killed; says "ready" on standard output first.
    Loop,
    /// Allocate and keep until refused.
    Fill,
    /// Allocate once.
    Once,
    /// Allocate once from the node that is standard input, and send the buffer
    /// over standard output.
    Give,
    /// As that, as root of a user namespace of its own.
    GiveAsRoot,
    /// As that, as the user 0 of one for which the parent says who that is.
    GiveAsFirst,
    /// As that, as its user 1.
    GiveAsSecond,
    /// The same, in a namespace of its own inside, which says nobody who it is.
    GiveInside,
    /// As that, in no namespace, and without any capability.
    GiveBare,
    /// Allocate once, and see whether the kernel notes a use of capabilities; says on
    /// standard error what is wrong.
    Quietly,
    /// Be refused, again and again (`limit_contention`).
    Contender,
    /// Allocate one buffer after the other (`limit_contention`).
    Again,
    /// Receive a buffer over standard input, check what it holds and fill it
    /// anew; says on standard error what is wrong.
    Receive,
    /// As that, but without a look at what it holds.
    Overwrite,
    /// Take anonymous memory until the heap keeps hardly any, but `size` bytes
    /// at most; says "ready" on standard output and keeps it until standard
    /// input ends.
    Hog,
    /// Have the kernel take memory of its own, in messages that nobody receives;
    /// else as that.
    Messages,
    /// Have all but `size` bytes of the memory, and forks that write to it (`contended_area`).
    Forks,
    /// The same, and pipes that hold pages of it.
    Pipes,
}

const ROLES: [(Role, &str); 19] = [
    (Role::Open, "open"),
    (Role::Loop, "loop"),
    (Role::Fill, "fill"),
    (Role::Once, "once"),
    (Role::Give, "give"),
    (Role::GiveAsRoot, "give-as-root"),
    (Role::GiveAsFirst, "give-as-first"),
    (Role::GiveAsSecond, "give-as-second"),
    (Role::GiveInside, "give-inside"),
    (Role::GiveBare, "give-bare"),
    (Role::Quietly, "quietly"),
    (Role::Contender, "contender"),
    (Role::Again, "again"),
    (Role::Receive, "receive"),
    (Role::Overwrite, "overwrite"),
    (Role::Hog, "hog"),
    (Role::Messages, "messages"),
    (Role::Forks, "forks"),
    (Role::Pipes, "pipes"),
];

/// A command that plays a role with buffers of `size` bytes.
pub(crate) fn command(role: Role, heap: &str, size: u64) -> Result<Command, Failure> {
    let name = ROLES
        .iter()
        .find(|(known, _)| *known == role)
        .map_or("", |(_, name)| *name);
    let mut command = Command::new(std::env::current_exe()?);
    command.args([MARK, name, heap, &size.to_string()]);
    Ok(command)
}

/// Plays the role that the arguments name, if they name one.
pub(crate) fn role(arguments: &[String]) -> Option<ExitCode> {
    let [mark, name, heap, size] = arguments else {
        return None;
    };
    if mark != MARK {
        return None;
    }
    let role = ROLES.iter().find(|(_, known)| known == name);
    let told = match role {
        Some((Role::Receive, _)) => Some(receive(true)),
        Some((Role::Overwrite, _)) => Some(receive(false)),
        Some((Role::Hog, _)) => Some(hog(heap, size)),
        Some((Role::Messages, _)) => Some(messages(heap, size)),
        Some((Role::Quietly, _)) => Some(quietly(heap, size)),
        Some((Role::Contender, _)) => Some(limit_contention::be_refused(heap, size)),
        Some((Role::Forks, _)) => Some(contended_area::fork(size)),
        Some((Role::Pipes, _)) => Some(contended_area::fill_pipes(size)),
        Some((Role::Again, _)) => Some(limit_contention::go_on(heap, size)),
        _ => None,
    };
    if let Some(result) = told {
        return Some(match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure(what)) => {
                eprintln!("{what}");
                ExitCode::FAILURE
            }
        });
    }
    let status = match (role, size.parse()) {
        (Some((role, _)), Ok(size)) => match play(*role, heap, size) {
            Ok(()) => 0,
            Err(Unplayed::Heap(error)) => error.errno().map_or(CONFUSED, Errno::raw_os_error),
            Err(Unplayed::NoNamespace) => NO_NAMESPACE,
            Err(Unplayed::NothingToFill | Unplayed::NoNode) => CONFUSED,
        },
        _ => CONFUSED,
    };
    Some(ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX)))
}

/// How a role ended.
enum Unplayed {
    Heap(Error),
    /// The heap refused the first buffer already.
    NothingToFill,
    /// Standard input cannot be duplicated.
    NoNode,
    NoNamespace,
}

impl From<Error> for Unplayed {
    fn from(error: Error) -> Self {
        Self::Heap(error)
    }
}

/// The heap whose node is standard input.
pub(crate) fn given_heap(heap: &str) -> Result<Heap, Failure> {
    let node = std::io::stdin().as_fd().try_clone_to_owned()?;
    Ok(Heap::from_fd(heap, node)?)
}

/// Becomes user `number` of a namespace of this process's own, for which the parent says
/// who that is.
fn become_mapped(number: u32) -> Result<(), Failure> {
    namespace::enter_own()?;
    let mut parent = UnixStream::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    parent.write_all(b"?")?;
    parent.read_exact(&mut [0])?;
    let user = Uid::from_raw(number);
    rustix::thread::set_thread_res_uid(user, user, user)?;
    Ok(())
}

/// Becomes who the role is.
fn dress(role: Role) -> Result<(), Unplayed> {
    match role {
        Role::GiveAsRoot => namespace::become_root_of_own().map_err(|_| Unplayed::NoNamespace),
        Role::GiveAsFirst => become_mapped(0).map_err(|_| Unplayed::NoNamespace),
        Role::GiveAsSecond => become_mapped(1).map_err(|_| Unplayed::NoNamespace),
        Role::GiveInside => become_mapped(1)
            .and_then(|()| Ok(namespace::enter_own()?))
            .map_err(|_| Unplayed::NoNamespace),
        Role::GiveBare => {
            let none = CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            };
            rustix::thread::set_capabilities(None, none).map_err(|_| Unplayed::NoNode)
        }
        _ => Ok(()),
    }
}

fn play(role: Role, heap: &str, size: u64) -> Result<(), Unplayed> {
    dress(role)?;
    if matches!(
        role,
        Role::Give
            | Role::GiveAsRoot
            | Role::GiveAsFirst
            | Role::GiveAsSecond
            | Role::GiveInside
            | Role::GiveBare
    ) {
        let heap = given_heap(heap).map_err(|_| Unplayed::NoNode)?;
        return Ok(heap.alloc(size)?.send(std::io::stdout(), b"a buffer")?);
    }
    let heap = Heap::open(heap)?;
    match role {
        Role::Open => Ok(()),
        Role::Loop => {
            let mut out = std::io::stdout();
            let _ = writeln!(out, "ready").and_then(|()| out.flush());
            loop {
                heap.alloc(size)?;
            }
        }
        Role::Fill => {
            die_first();
            let mut buffers = Vec::new();
            loop {
                match heap.alloc(size) {
                    Ok(buffer) => buffers.push(buffer),
                    Err(_) if buffers.is_empty() => return Err(Unplayed::NothingToFill),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Role::Once => {
            die_first();
            heap.alloc(size)?;
            Ok(())
        }
        // Need no heap, or another's.
        Role::Give
        | Role::GiveAsRoot
        | Role::GiveAsFirst
        | Role::GiveAsSecond
        | Role::GiveInside
        | Role::GiveBare
        | Role::Quietly
        | Role::Contender
        | Role::Again
        | Role::Receive
        | Role::Overwrite
        | Role::Hog
        | Role::Messages
        | Role::Forks
        | Role::Pipes => Err(Unplayed::NothingToFill),
    }
}

/// Sends a buffer to another process, which must find `before` in it and leaves
/// `after`.
pub(crate) fn exchange(buffer: &Buffer, before: Pattern, after: Pattern) -> Result<(), Failure> {
    send(Role::Receive, buffer, before, after)
}

/// Sends a buffer to another process, which fills it.
pub(crate) fn overwrite(buffer: &Buffer, after: Pattern) -> Result<(), Failure> {
    send(Role::Overwrite, buffer, after, after)
}

fn send(role: Role, buffer: &Buffer, before: Pattern, after: Pattern) -> Result<(), Failure> {
    let (near, far) = UnixStream::pair()?;
    buffer.send(&near, &Pattern::pair_to_bytes(before, after))?;
    let output = command(role, "-", 0)?.stdin(OwnedFd::from(far)).output()?;
    if output.status.success() {
        return Ok(());
    }
    fail(format!(
        "the other process ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

/// The other process.
fn receive(looks: bool) -> Result<(), Failure> {
    let (buffer, note) = Buffer::receive(std::io::stdin())?;
    let Some((before, after)) = Pattern::pair_from_bytes(&note) else {
        return fail("the note beside the buffer is no pair of patterns");
    };
    let mut mapping = buffer.map()?;
    if looks {
        expect(&mapping, |index| before.word(index))?;
    }
    fill(&mut mapping, after)
}

/// Allocates, and has the kernel say whether this process ever used a capability.
fn quietly(heap: &str, size: &str) -> Result<(), Failure> {
    let heap = Heap::open(heap)?;
    let size = size.parse()?;
    if used_capabilities()? {
        return fail("it used a capability before");
    }
    heap.alloc(size)?;
    match used_capabilities()? {
        true => fail("the allocation asked for a capability"),
        false => Ok(()),
    }
}

/// Whether this process is marked as one that used a capability: PF_SUPERPRIV, in the
/// seventh field behind the program's name.
fn used_capabilities() -> Result<bool, Failure> {
    const SUPERPRIV: u64 = 0x100;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let flags = stat
        .rsplit(')')
        .next()
        .and_then(|fields| fields.split_whitespace().nth(6));
    match flags {
        Some(flags) => Ok(flags.parse::<u64>()? & SUPERPRIV != 0),
        None => fail("/proc/self/stat has no flags"),
    }
}

/// Says that it is done, and waits until it may go.
fn wait_for_end() -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// What a heap may keep when others have taken all.
pub(crate) const REST: u64 = 1 << 20;

/// Whether a heap still keeps memory that others could have.
fn keeps(heap: &HeapInfo) -> bool {
    kept(heap) > REST
}

/// Bytes that a heap keeps.
fn kept(heap: &HeapInfo) -> u64 {
    heap.attribute("pool_held").unwrap_or(0)
}

/// What to take at most: no more than there are addresses for.
fn limit(size: &str) -> Result<usize, Failure> {
    Ok(usize::try_from(size.parse::<u64>()?).unwrap_or(usize::MAX))
}

/// Touches memory, a little at a time.
fn hog(heap: &str, size: &str) -> Result<(), Failure> {
    /// Of a size that the kernel may fill with a huge page, which takes less time; but
    /// not more than is left when the last of what is kept has gone.
    const PIECE: usize = 2 << 20;
    /// Then it looks more often: the kernel may ask for all of the rest at once.
    const NEAR: u64 = 24 << 20;
    const SMALL: usize = 64 << 10;
    die_first();
    // One of them is as much as a page full of page table entries maps.
    let page = dma_heap::page_size();
    if page * (page / size_of::<u64>()) > PIECE {
        rustix::thread::disable_transparent_huge_pages(true)?;
    }
    let heap = HeapInfo::of(heap)?;
    let mut left = limit(size)?;
    let mut memory = Vec::new();
    while left >= PIECE && keeps(&heap) {
        let piece = if kept(&heap) > NEAR { PIECE } else { SMALL };
        // Not zero: the allocator would hand out pages that nobody touched.
        memory.push(vec![u8::try_from(memory.len() % 255)? + 1; piece]);
        left -= piece;
    }
    wait_for_end()?;
    // Only to have it until now.
    match memory.iter().all(|piece| !piece.is_empty()) {
        true => Ok(()),
        false => fail("the memory is not what it was"),
    }
}

/// Sends messages between sockets.
fn messages(heap: &str, size: &str) -> Result<(), Failure> {
    /// What a socket takes at least, and how much is written between two looks.
    const SOCKET: usize = 8 << 20;
    const PIECE: usize = 1 << 20;
    die_first();
    let heap = HeapInfo::of(heap)?;
    let mut left = limit(size)?;
    let message = vec![1; PIECE];
    let mut sockets = Vec::new();
    while left > 0 && keeps(&heap) {
        let (mut near, far) = UnixStream::pair()?;
        rustix::net::sockopt::set_socket_send_buffer_size_force(&near, SOCKET)?;
        near.set_nonblocking(true)?;
        let mut sent = 0;
        while left > 0 && keeps(&heap) {
            match near.write(&message) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if sent < SOCKET / 2 && keeps(&heap) {
            return fail(format!("a socket took only {sent} bytes"));
        }
        left = left.saturating_sub(sent);
        sockets.push((near, far));
    }
    wait_for_end()
}

/// If the OOM killer comes, which is what the test watches for, it shall take
/// this process and not the machine's own. Where that cannot be asked for, the
/// test is as good.
pub(crate) fn die_first() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}
