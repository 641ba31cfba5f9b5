//! Medians, and ratios of values that were measured side by side.

/// The middle value, or the mean of the two middle ones; `None` of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The median of the rounds' own ratios. Both values of a round met the same noise, so that this varies less than
/// the ratio of the medians. Rounds whose divisor is not above zero have no ratio.
pub(crate) fn median_ratio(values: &[f64], baseline: &[f64]) -> Option<f64> {
    let pairs = values.iter().zip(baseline);
    median(
        pairs
            .filter(|(_, divisor)| **divisor > 0.0)
            .map(|(value, divisor)| value / divisor),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median([4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The second round was noisy for both.
        assert_eq!(
            median_ratio(&[1.0, 30.0, 2.0], &[2.0, 60.0, 4.0]),
            Some(0.5)
        );
        assert_eq!(median_ratio(&[1.0, 3.0], &[0.0, 4.0]), Some(0.75));
        assert_eq!(median_ratio(&[1.0], &[-1.0]), None);
        assert_eq!(median_ratio(&[], &[]), None);
    }
}
