//! `did you mean ...?`

/// More letters apart, two names have nothing to do with each other.
const DISTANCE_MAX: usize = 2;

/// The candidate that `name` may be a slip of the finger for.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let rated = candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(name, candidate)?, candidate)));
    rated.min().map(|(_, candidate)| candidate)
}

/// Letters that are missing, too many, other ones or swapped; of short names few may be. The case of letters counts for
/// nothing.
fn distance(name: &str, other: &str) -> Option<usize> {
    if name == other {
        return None;
    }
    let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let most = (other.chars().count() / 3).min(DISTANCE_MAX);
    (distance <= most).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_near() {
        for (name, other) in [
            ("read_querry", "read_query"),
            ("read_query_results", "read_query_result"),
            ("Read_Query", "read_query"),
            ("raed_query", "read_query"),
            ("adress", "address"),
            ("PROXY_SEND_RESULTS", "PROXY_SEND_RESULT"),
        ] {
            assert_eq!(nearest(name, [other]), Some(other));
        }
        for (name, other) in [
            ("read_query", "read_query"),
            ("read_query", "read_query_result"),
            ("foo", "dst"),
            ("id", "if"),
        ] {
            assert_eq!(nearest(name, [other]), None, "{name}");
        }
    }

    #[test]
    fn the_nearest_is_meant() {
        let candidates = [
            "MYSQLD_PACKET_ERR",
            "MYSQLD_PACKET_EOF",
            "MYSQLD_PACKET_RAW",
        ];
        assert_eq!(
            nearest("MYSQLD_PACKET_ROW", candidates),
            Some("MYSQLD_PACKET_RAW")
        );
        assert_eq!(nearest("COM_QUERY", candidates), None);
    }
}
