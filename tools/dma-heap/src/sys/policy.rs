// SPDX-License-Identifier: GPL-2.0

//! For tests: from which NUMA nodes the calling thread's memory comes.

use rustix::io::Errno;
use rustix::io::Result;

/// A thread's memory policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// From where the thread runs.
    Default,
    /// From this node and no other.
    Bind(u32),
    /// From this node if it has some.
    Preferred(u32),
    /// A page from each of the nodes of this mask in turn.
    Interleave(u64),
}

/// Sets the policy of the calling thread. Wraps `set_mempolicy`.
///
/// # Errors
///
/// What the call returns: EINVAL for a node that has no memory, ENOSYS from a
/// kernel without NUMA.
pub fn set(policy: Policy) -> Result<()> {
    let bit = |node: u32| 1u64.checked_shl(node).ok_or(Errno::INVAL);
    let (mode, nodes) = match policy {
        Policy::Default => (libc::MPOL_DEFAULT, 0),
        Policy::Bind(node) => (libc::MPOL_BIND, bit(node)?),
        Policy::Preferred(node) => (libc::MPOL_PREFERRED, bit(node)?),
        Policy::Interleave(nodes) => (libc::MPOL_INTERLEAVE, nodes),
    };
    let mask: [libc::c_ulong; 2] = words(nodes);
    // The kernel reads one bit less than it is told.
    let bits: libc::c_ulong = 65;
    // SAFETY: The kernel reads the bits that the mask has at least, and changes
    // where new pages come from.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask.as_ptr(), bits) };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}

/// A mask of 64 bits as the kernel wants it: in words, the lowest first.
fn words(mask: u64) -> [libc::c_ulong; 2] {
    // Lossless together: a word has 32 or 64 bits.
    let high = if libc::c_ulong::BITS == 64 {
        0
    } else {
        mask >> 32
    };
    [mask as libc::c_ulong, high as libc::c_ulong]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_two_words() {
        assert_eq!(words(1), [1, 0]);
        if libc::c_ulong::BITS == 32 {
            assert_eq!(words(1 << 33), [0, 2]);
        }
    }

    #[test]
    fn a_node_beyond_the_mask_is_refused() {
        assert_eq!(set(Policy::Bind(64)), Err(Errno::INVAL));
    }
}
