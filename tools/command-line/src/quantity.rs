// SPDX-License-Identifier: GPL-2.0

//! Sizes and durations as people write them, in both directions.

use std::time::Duration;

/// A size in bytes.
pub type Size = u64;

/// Reads a size: a number, perhaps with decimals, and a suffix of K, M, G or T
/// (powers of 1024, also as KiB or KB), or several of those multiplied with `x`.
///
/// # Errors
///
/// Says how it is written.
pub fn parse_size(text: &str) -> Result<Size, String> {
    text.split(['x', 'X'])
        .try_fold(1, |product: u64, factor| {
            product
                .checked_mul(parse_factor(factor)?)
                .ok_or_else(|| "more than 64 bits can hold".to_owned())
        })
        .and_then(|size| match size {
            0 => Err("a size must be more than zero".to_owned()),
            size => Ok(size),
        })
}

fn parse_factor(text: &str) -> Result<u64, String> {
    let too_much = || "more than 64 bits can hold".to_owned();
    let text = text.trim();
    let digits = text
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let (number, suffix) = text.split_at(digits);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || decimals.contains('.') || number.ends_with('.') {
        return Err("a size is a number and a suffix, such as 64K or 1.5M".to_owned());
    }
    let whole: u128 = whole.parse().map_err(|_| too_much())?;
    let shift = match suffix.trim_start().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => {
            return Err(format!(
                "unknown suffix {suffix:?}; known are K, M, G, T (powers of 1024)"
            ));
        }
    };
    // Tenths of bytes, and what twelve digits do not tell, are nobody's wish.
    if shift == 0 && !decimals.is_empty() || decimals.len() > 12 {
        return Err("a size is a whole number of bytes".to_owned());
    }
    let parts = 10u128.pow(decimals.len().try_into().unwrap_or(0));
    let part: u128 = decimals.parse().unwrap_or(0);
    let bytes = whole
        .checked_mul(1 << shift)
        .and_then(|it| it.checked_add((part << shift) / parts));
    bytes.and_then(|it| it.try_into().ok()).ok_or_else(too_much)
}

/// Reads an offset or an address: as a size, but it may be zero, or hexadecimal
/// after `0x`.
///
/// # Errors
///
/// Says how it is written.
pub fn parse_offset(text: &str) -> Result<u64, String> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16)
            .map_err(|_| format!("{text:?} is no hexadecimal number of 64 bits"));
    }
    if text == "0" {
        return Ok(0);
    }
    parse_size(text)
}

/// Writes a size with the largest suffix that leaves a whole number, so that
/// nothing is rounded away.
pub fn format_size(bytes: u64) -> String {
    let suffixes = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, suffix) in suffixes {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{} {suffix}", bytes >> shift);
        }
    }
    format!("{bytes} B")
}

/// Writes a size for the eye: with the largest suffix and at most one decimal.
pub fn format_size_short(bytes: u64) -> String {
    let suffixes = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, suffix) in suffixes {
        if bytes >> shift == 0 {
            continue;
        }
        // Tenths, rounded down: memory that is not there is not promised.
        let tenths = (bytes >> (shift - 10)) * 10 / 1024;
        return match tenths % 10 {
            0 => format!("{} {suffix}", tenths / 10),
            tenth => format!("{}.{tenth} {suffix}", tenths / 10),
        };
    }
    format!("{bytes} B")
}

/// Writes how many there are of something.
pub fn format_count(count: usize, one: &str, many: &str) -> String {
    let word = if count == 1 { one } else { many };
    format!("{count} {word}")
}

/// Reads a duration, such as 500ms, 10s or 1h 30m; a number alone, perhaps with decimals,
/// is seconds.
///
/// # Errors
///
/// Says how it is written.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.trim().parse() {
        return Duration::try_from_secs_f64(seconds)
            .map_err(|_| "this many seconds are no duration".to_owned());
    }
    humantime::parse_duration(text.trim())
        .map_err(|error| format!("{error}; a duration is written as 500ms, 10s or 1h 30m"))
}

/// Writes a duration for the eye: three digits and a unit.
pub fn format_duration(time: Duration) -> String {
    let nanos = time.as_nanos();
    let (value, unit) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (time.as_secs_f64() * 1e6, "us"),
        1_000_000..1_000_000_000 => (time.as_secs_f64() * 1e3, "ms"),
        _ => (time.as_secs_f64(), "s"),
    };
    let decimals = match value {
        ..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("4K"), Ok(4096));
        assert_eq!(parse_size("4 KiB"), Ok(4096));
        assert_eq!(parse_size("3m"), Ok(3 << 20));
        assert_eq!(parse_size("2GB"), Ok(2 << 30));
        assert_eq!(parse_size("1T"), Ok(1 << 40));
        assert_eq!(parse_size("1.5M"), Ok(3 << 19));
        assert_eq!(parse_size("0.25 KiB"), Ok(256));
        assert_eq!(parse_size("1920x1080x1.5K"), Ok(1920 * 1080 * 1536));
        assert_eq!(parse_size("1920x1080x4"), Ok(8_294_400));
        assert_eq!(parse_size("16x1K"), Ok(16384));
        assert_eq!(parse_size("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn bad_sizes() {
        for text in [
            "",
            "K",
            "0",
            "0x10",
            "-1",
            "1.5",
            "1.M",
            ".5M",
            "1.5.5M",
            "0.0000000000001T",
            "4Q",
            "1x",
            "x1",
            "16777216T",
            "18446744073709551616",
            "4294967296x4294967296",
        ] {
            assert!(parse_size(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn offsets() {
        assert_eq!(parse_offset("0"), Ok(0));
        assert_eq!(parse_offset("64K"), Ok(65536));
        assert_eq!(parse_offset("0xfffff000"), Ok(0xffff_f000));
        for text in ["", "0x", "0xg", "-1", "0x1ffffffffffffffff"] {
            assert!(parse_offset(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn durations_are_written_for_the_eye() {
        let text = |nanos| format_duration(Duration::from_nanos(nanos));
        assert_eq!(text(0), "0 ns");
        assert_eq!(text(999), "999 ns");
        assert_eq!(text(1_234), "1.23 us");
        assert_eq!(text(56_789), "56.8 us");
        assert_eq!(text(345_678_900), "346 ms");
        assert_eq!(text(2_000_000_000), "2.00 s");
    }

    #[test]
    fn sizes_are_written_exactly() {
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(12345), "12345 B");
        assert_eq!(format_size(4096), "4 KiB");
        assert_eq!(format_size((1 << 20) + 4096), "1028 KiB");
        assert_eq!(format_size(512 << 20), "512 MiB");
        assert_eq!(format_size(1 << 41), "2 TiB");
    }

    #[test]
    fn short_sizes_have_one_decimal() {
        assert_eq!(format_size_short(0), "0 B");
        assert_eq!(format_size_short(1023), "1023 B");
        assert_eq!(format_size_short(4096), "4 KiB");
        assert_eq!(format_size_short(490_982 << 10), "479.4 MiB");
        assert_eq!(format_size_short(64 << 20), "64 MiB");
        assert_eq!(format_size_short((1 << 30) - 1), "1023.9 MiB");
        assert_eq!(format_size_short(u64::MAX), "16777215.9 TiB");
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        for text in [
            "",
            "s",
            "-1s",
            "-1",
            "1.2.3s",
            "inf",
            "NaN",
            "99999999999999999999h",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?} was taken");
        }
    }
}
