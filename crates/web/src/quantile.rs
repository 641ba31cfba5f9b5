//! What a histogram says of a part of its values.

use std::time::Duration;

use proxy::{DURATION_BUCKETS, Durations};

/// Where `part` (0 to 1) of the values are below, as if they lay evenly within each bucket; `None` without any. What is above all
/// bounds counts as the last of them.
pub(crate) fn quantile(durations: &Durations, part: f64) -> Option<Duration> {
    let all: u64 = durations.counts.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = part * all as f64;
    let (mut below, mut lower) = (0.0, 0);
    for (count, upper) in durations.counts.iter().zip(DURATION_BUCKETS) {
        let count = *count as f64;
        if count > 0.0 && below + count >= wanted {
            let share = (wanted - below) / count;
            let micros = lower as f64 + share * (upper - lower) as f64;
            return Some(Duration::from_secs_f64(micros / 1e6));
        }
        (below, lower) = (below + count, upper);
    }
    Some(Duration::from_micros(lower))
}

/// What came into `newer` since it was `older`.
pub(crate) fn since(newer: &Durations, older: &Durations) -> Durations {
    let mut difference = newer.clone();
    let counts = difference.counts.iter_mut().zip(older.counts);
    counts.for_each(|(count, before)| *count = count.saturating_sub(before));
    difference.sum = newer.sum.saturating_sub(older.sum);
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(counts: &[(usize, u64)]) -> Durations {
        let mut durations = Durations::default();
        for (bucket, count) in counts {
            durations.counts[*bucket] = *count;
        }
        durations
    }

    #[test]
    fn values_lie_evenly_within_a_bucket() {
        let micros = |durations, part| quantile(&durations, part).map(|value| value.as_micros());
        assert_eq!(micros(durations(&[]), 0.5), None);
        assert_eq!(micros(durations(&[(0, 10)]), 0.5), Some(25));
        assert_eq!(micros(durations(&[(0, 50), (4, 50)]), 0.5), Some(50));
        assert_eq!(micros(durations(&[(0, 50), (4, 50)]), 0.75), Some(750));
        assert_eq!(micros(durations(&[(4, 98), (6, 2)]), 0.99), Some(3750));
        assert_eq!(micros(durations(&[(16, 1)]), 0.99), Some(30_000_000));
    }

    #[test]
    fn a_difference_is_what_came_since() {
        let newer = durations(&[(0, 5), (3, 2)]);
        assert_eq!(
            since(&newer, &durations(&[(0, 4)])).counts[..4],
            [1, 0, 0, 2]
        );
    }
}
