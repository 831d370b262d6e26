// SPDX-License-Identifier: GPL-2.0

//! Signals of this process.

use super::check;
use rustix::io::Result;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;

/// Does nothing: that a signal came has interrupted what it could.
extern "C" fn ignore(_: c_int) {}

static STATUS: AtomicI32 = AtomicI32::new(0);

extern "C" fn leave(_: c_int) {
    // SAFETY: It may be called in a signal handler.
    unsafe { libc::_exit(STATUS.load(Relaxed)) };
}

fn handle(signal: c_int, handler: extern "C" fn(c_int)) -> Result<()> {
    // SAFETY: All-zero is a valid value: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as *const () as usize;
    // SAFETY: The handlers here call nothing that may not be called in one.
    check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }.into())
        .map(drop)
}

/// Has the process interrupted every so many microseconds. System calls are not
/// started again.
pub(crate) fn interrupt_every(microseconds: u16) -> Result<()> {
    handle(libc::SIGALRM, ignore)?;
    let time = libc::timeval {
        tv_sec: 0,
        tv_usec: microseconds.into(),
    };
    let timer = libc::itimerval {
        it_interval: time,
        it_value: time,
    };
    let before = std::ptr::null_mut();
    // SAFETY: The kernel reads the structure.
    let result = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, before) };
    check(result.into()).map(drop)
}

/// Has this process, a forked child, end with `status` where another would be
/// killed for touching what is not there. The kernel has a log line for those.
pub(super) fn exit_on_fault(status: c_int) {
    STATUS.store(status, Relaxed);
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // If it cannot be handled it kills, which the parent reports.
        let _ = handle(signal, leave);
    }
}
