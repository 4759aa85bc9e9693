//! Figures of repetitions.

use std::fmt;

/// The median of repetitions, with the smallest and the largest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// None of no values. Of an even number the median is the upper of the middle two.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let median = *sorted.get(sorted.len() / 2)?;
        Some(Self { median, least: *sorted.first()?, most: *sorted.last()? })
    }
}

impl fmt::Display for Spread {
    /// Three digits or more of each: `37.6 [36.1–38.0]`, `26186 [24800–27500]`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = match self.median {
            small if small < 10.0 => 2,
            medium if medium < 100.0 => 1,
            _large => 0,
        };
        write!(formatter, "{:.places$} [{:.places$}–{:.places$}]", self.median, self.least, self.most)
    }
}

/// The smallest of the sorted values that `per_mille` of them do not exceed; 0 of none.
pub(crate) fn percentile(sorted: &[u64], per_mille: usize) -> u64 {
    let place = (sorted.len() * per_mille).div_ceil(1000).saturating_sub(1);
    sorted.get(place).or_else(|| sorted.last()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_shown_with_as_many_digits_as_mean_something() {
        let text = |values: [f64; 3]| Spread::of(values).unwrap().to_string();
        assert_eq!(text([38.04, 37.61, 36.12]), "37.6 [36.1–38.0]");
        assert_eq!(text([1.0, 3.0, 2.0]), "2.00 [1.00–3.00]");
        assert_eq!(text([26_186.4, 24_800.0, 27_500.0]), "26186 [24800–27500]");
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let sorted: Vec<u64> = (1..=1000).collect();
        assert_eq!(percentile(&sorted, 500), 500);
        assert_eq!(percentile(&sorted, 990), 990);
        assert_eq!(percentile(&[7], 990), 7);
        assert_eq!(percentile(&[], 500), 0);
    }
}
