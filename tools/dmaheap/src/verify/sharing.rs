// SPDX-License-Identifier: GPL-2.0

//! Checks with a buffer in other hands: a duplicate descriptor, a forked
//! child, another program.

use super::content::expect_words;
use super::content::fill;
use anyhow::Context as _;
use anyhow::anyhow;
use anyhow::bail;
use anyhow::ensure;
use dma_heap::Buffer;
use dma_heap::pattern::Pattern;
use dma_heap::sys::fork;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

/// The hidden subcommand of the other program: this one again.
pub(crate) const RECEIVE: &str = "receive-buffer";

/// A duplicate is the same buffer, and stays when the first is closed.
pub(super) fn check_dup(buffer: &Buffer) -> anyhow::Result<()> {
    let first = buffer.try_clone()?;
    let second = first.try_clone()?;
    ensure!(
        first.inode()? == buffer.inode()?,
        "a duplicate has another inode than the buffer"
    );
    exchange(buffer, |before, after| {
        drop(first);
        let mut mapping = second.map()?;
        expect_words(&mapping, |index| before.word(index))?;
        fill(&mut mapping, after)
    })
}

/// A forked child has the same buffer.
pub(super) fn check_fork(buffer: &Buffer) -> anyhow::Result<()> {
    exchange(buffer, |before, after| {
        fork::in_child(|| answer(buffer, before, after).map_err(|error| format!("{error:#}")))
            .context("cannot fork")?
            .map_err(|what| anyhow!(what).context("in a forked child"))
    })
}

/// Another program has the same buffer, given to it over a Unix socket.
pub(super) fn check_socket(buffer: &Buffer) -> anyhow::Result<()> {
    exchange(buffer, |before, after| {
        let (near, far) = UnixStream::pair().context("cannot make a pair of sockets")?;
        buffer.send(&near, &Pattern::pair_to_bytes(before, after))?;
        let output = Command::new("/proc/self/exe")
            .arg(RECEIVE)
            .stdin(OwnedFd::from(far))
            .output()
            .context("cannot start this program again: is /proc mounted?")?;
        if !output.status.success() {
            bail!(
                "the other process: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    })
}

/// Fills the buffer, lets `other` find that and leave something else, and looks
/// for it.
fn exchange(
    buffer: &Buffer,
    other: impl FnOnce(Pattern, Pattern) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (before, after) = (Pattern::random()?, Pattern::random()?);
    fill(&mut buffer.map()?, before)?;
    other(before, after)?;
    expect_words(&buffer.map()?, |index| after.word(index)).context("written by the other")
}

fn answer(buffer: &Buffer, before: Pattern, after: Pattern) -> anyhow::Result<()> {
    let mut mapping = buffer.map()?;
    expect_words(&mapping, |index| before.word(index))?;
    fill(&mut mapping, after)
}

/// The other program: takes a buffer from standard input.
pub(crate) fn receive() -> anyhow::Result<()> {
    let (buffer, note) = Buffer::receive(std::io::stdin())?;
    let (before, after) =
        Pattern::pair_from_bytes(&note).context("the note beside the buffer has another length")?;
    answer(&buffer, before, after)
}
