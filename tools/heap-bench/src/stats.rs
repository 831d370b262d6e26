// SPDX-License-Identifier: GPL-2.0

//! Medians, quartiles and percentiles.

/// The value below which a share `q` (0 to 1) of the samples lies, by nearest
/// rank: always one of the samples. `None` if there are none.
pub(crate) fn percentile(samples: &[u64], q: f64) -> Option<u64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(rank(sorted.len(), q)?).copied()
}

/// The middle one, or the mean of the two in the middle. `None` without any.
pub(crate) fn median(samples: &[u64]) -> Option<u64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(lower.midpoint(upper))
}

/// Quartiles and the median between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quartiles {
    pub(crate) first: f64,
    pub(crate) median: f64,
    pub(crate) third: f64,
}

impl Quartiles {
    /// Those of some ratios. `None` without any.
    pub(crate) fn of(ratios: &[f64]) -> Option<Self> {
        let mut sorted = ratios.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |q| sorted.get(rank(sorted.len(), q)?).copied();
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = match sorted.len() % 2 {
            1 => upper,
            _ => (sorted.get(middle - 1)? + upper) / 2.0,
        };
        Some(Self {
            first: at(0.25)?,
            median,
            third: at(0.75)?,
        })
    }
}

/// The index of the nearest rank.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the number of samples is small and a share is positive"
)]
fn rank(count: usize, q: f64) -> Option<usize> {
    let last = count.checked_sub(1)?;
    let rank = (q * count as f64).ceil() as usize;
    Some(rank.saturating_sub(1).min(last))
}

/// `above` divided by `below`.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits of nanoseconds are months"
)]
pub fn ratio(above: u64, below: u64) -> f64 {
    above as f64 / below.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(percentile(&samples, 0.99), Some(99));
        assert_eq!(percentile(&samples, 1.0), Some(100));
        assert_eq!(percentile(&samples, 0.0), Some(1));
        assert_eq!(percentile(&[7], 0.99), Some(7));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3, 1, 2]), Some(2));
        assert_eq!(median(&[4, 1, 2, 3]), Some(2));
        assert_eq!(median(&[10, 20]), Some(15));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn quartiles() {
        let ratios: Vec<f64> = (1..=8).rev().map(f64::from).collect();
        assert_eq!(
            Quartiles::of(&ratios),
            Some(Quartiles {
                first: 2.0,
                median: 4.5,
                third: 6.0
            })
        );
        assert_eq!(Quartiles::of(&[]), None);
    }
}
