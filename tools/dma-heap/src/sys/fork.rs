// SPDX-License-Identifier: GPL-2.0

//! For tests: a forked child, which has its parent's descriptors and mappings.

use rustix::io::Errno;
use rustix::io::Result;
use rustix::process::Pid;
use rustix::process::WaitOptions;
use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::time::Duration;
use std::time::Instant;

/// How long to wait for threads that have ended, but not left yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ends the process when it is dropped: a panic in the child must not unwind
/// into what only the parent may go on with.
struct ExitOnDrop;

impl Drop for ExitOnDrop {
    fn drop(&mut self) {
        // SAFETY: `_exit` may always be called. It runs no handler of the
        // parent's and flushes no buffer of its.
        unsafe { libc::_exit(1) }
    }
}

/// Runs `test` in a forked child and returns what came of it: the child's own
/// result, or how it died.
///
/// # Errors
///
/// EAGAIN if this process has more threads than one, or what fork says.
pub fn in_child(
    test: impl FnOnce() -> std::result::Result<(), String>,
) -> Result<std::result::Result<(), String>> {
    wait_for_single_thread()?;
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: This is the only thread, so no lock is held by one that the child
    // does not have, and nobody can start another meanwhile. The child is a
    // copy of everything, goes on in this function alone and ends in it.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::AGAIN)),
        0 => {
            let exit = ExitOnDrop;
            let status = match test() {
                Ok(()) => 0,
                Err(what) => {
                    // The status alone already says that it failed.
                    let _ = File::from(writer).write_all(what.as_bytes());
                    1
                }
            };
            std::mem::forget(exit);
            // SAFETY: As in `ExitOnDrop`.
            unsafe { libc::_exit(status) }
        }
        _ => {
            drop(writer);
            let mut what = String::new();
            let read = File::from(reader).read_to_string(&mut what);
            let status = wait_for(Pid::from_raw(pid).ok_or(Errno::CHILD)?)?;
            Ok(match (status, read) {
                (Some(0), _) => Ok(()),
                (Some(_), Ok(_)) if !what.is_empty() => Err(what),
                (Some(status), _) => Err(format!("the child ended with status {status}")),
                (None, _) => Err("the child was killed by a signal".into()),
            })
        }
    }
}

/// The exit status of a child that has ended, `None` if a signal killed it.
fn wait_for(pid: Pid) -> Result<Option<i32>> {
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Err(Errno::INTR) | Ok(None) => {}
            Ok(Some((_, status))) => return Ok(status.exit_status()),
            Err(errno) => return Err(errno),
        }
    }
}

/// A thread that was joined may be seen for a moment still.
fn wait_for_single_thread() -> Result<()> {
    let start = Instant::now();
    loop {
        let threads = std::fs::read_dir("/proc/self/task")
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?
            .count();
        if threads == 1 {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(Errno::AGAIN);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
