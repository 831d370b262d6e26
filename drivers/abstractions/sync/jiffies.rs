// SPDX-License-Identifier: GPL-2.0

//! Times in ticks of the kernel's timer.
//!
//! C header: [`include/linux/jiffies.h`](srctree/include/linux/jiffies.h)

use crate::abstractions::{
    bindings,
    versions::millis_ceil, //
};
use kernel::time::{
    msecs_to_jiffies,
    Delta,
    Jiffies, //
};

/// The shortest time for which a timer waits.
pub(in crate::abstractions) const NEXT_TICK: Jiffies = 1;

/// Returns how many ticks `delay` takes, rounded up; 0 for one that is negative, and at most some
/// days.
///
/// Wraps `msecs_to_jiffies()`.
pub(in crate::abstractions) fn from_delta(delay: Delta) -> Jiffies {
    msecs_to_jiffies(millis_ceil(delay).clamp(0, 1 << 30) as u32)
}

/// Returns how many ticks there were, from a count that wraps. Much cheaper than to read a clock.
pub(crate) fn now() -> Jiffies {
    let jiffies = &raw const bindings::jiffies;

    // SAFETY: It is always there. The timer interrupt changes it at any time, all of it at once.
    unsafe { jiffies.read_volatile() }
}
