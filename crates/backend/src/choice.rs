//! Which backend a new client gets. Pure: what is up and how busy it is goes in, an index comes out.

/// How a new client's backend is chosen among those that are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Balance {
    /// One after the other, in option order.
    #[default]
    RoundRobin,
    /// The one with the fewest clients; the first of equals.
    LeastConnections,
}

impl Balance {
    pub(crate) fn from_u8(number: u8) -> Self {
        match number == Self::LeastConnections as u8 {
            true => Self::LeastConnections,
            false => Self::RoundRobin,
        }
    }
}

/// The first eligible index of `0..count` behind `last`, going round. `None` when none is eligible.
pub(crate) fn round_robin(
    count: usize,
    last: Option<usize>,
    eligible: impl Fn(usize) -> bool,
) -> Option<usize> {
    let start = last.map_or(0, |last| last + 1);
    (0..count)
        .map(|step| (start + step) % count)
        .find(|&index| eligible(index))
}

/// The eligible index of `0..count` with the fewest clients; the lowest of equals.
pub(crate) fn least_connections(
    count: usize,
    clients: impl Fn(usize) -> usize,
    eligible: impl Fn(usize) -> bool,
) -> Option<usize> {
    (0..count)
        .filter(|&index| eligible(index))
        .min_by_key(|&index| clients(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_robin_goes_round_in_order() {
        let mut last = None;
        let mut chosen = Vec::new();
        for _ in 0..5 {
            last = round_robin(2, last, |_| true);
            chosen.extend(last);
        }
        assert_eq!(chosen, [0, 1, 0, 1, 0]);
    }

    #[test]
    fn those_left_share_evenly_when_one_is_out() {
        let mut last = None;
        let mut chosen = Vec::new();
        for _ in 0..6 {
            last = round_robin(3, last, |index| index != 1);
            chosen.extend(last);
        }
        assert_eq!(chosen, [0, 2, 0, 2, 0, 2]);
    }

    #[test]
    fn nobody_eligible_is_nobody() {
        assert_eq!(round_robin(3, Some(1), |_| false), None);
        assert_eq!(round_robin(0, None, |_| true), None);
        assert_eq!(least_connections(3, |_| 0, |_| false), None);
    }

    #[test]
    fn least_connections_takes_the_first_of_equals() {
        let clients = [2, 1, 1];
        let choose = |out: usize| least_connections(3, |i| clients[i], |i| i != out);
        assert_eq!(choose(9), Some(1));
        assert_eq!(choose(1), Some(2));
    }
}
