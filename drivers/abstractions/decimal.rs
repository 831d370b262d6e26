// SPDX-License-Identifier: GPL-2.0

//! Numbers of 64 bits for people to read.
//!
//! C header: [`include/linux/math64.h`](srctree/include/linux/math64.h)

use crate::abstractions::bindings;
use kernel::{
    fmt,
    prelude::*, //
};

/// Writes `number` in decimal.
///
/// A 32-bit kernel has no division of 64 bits for Rust: there `core`'s own `Display` of [`u64`],
/// for which it would take one, is an oops.
///
/// Wraps `div_u64_rem()`.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, number: u64) -> fmt::Result {
    let mut low = 0;
    // SAFETY: `low` is writable, and the divisor is not 0.
    let high = unsafe { bindings::rust_dma_heap_div_u64_rem(number, 1_000_000_000, &mut low) };

    if high == 0 {
        return write!(f, "{low}");
    }
    // Three times at most.
    write(f, high)?;
    write!(f, "{low:09}")
}

#[kunit_tests(rust_dma_heap_decimal)]
mod tests {
    use super::*;
    use kernel::str::CString;

    struct Decimal(u64);

    impl fmt::Display for Decimal {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write(f, self.0)
        }
    }

    #[test]
    fn each_digit_is_there() -> Result {
        for (number, shown) in [
            (0, c"0"),
            (999_999_999, c"999999999"),
            (1_000_000_000, c"1000000000"),
            (1_000_000_001, c"1000000001"),
            (2_000_000_000_000_000_003, c"2000000000000000003"),
            (u64::MAX, c"18446744073709551615"),
        ] {
            let text = CString::try_from_fmt(fmt!("{}", Decimal(number)))?;

            assert_eq!(&*text, shown);
        }
        Ok(())
    }
}
