//! `SHOW DIGESTS`, `RESET DIGESTS`

use std::cmp::Ordering;
use std::time::Duration;

use proxy::{Control, DigestReport};

use super::options::is_like;
use super::{ParseError, Word, error, local_time};
use crate::resultset::{Answer, Column, Kind, Value, value};

const COLUMNS: &[Column] = &[
    ("digest", Kind::Text),
    ("user", Kind::Text),
    ("database", Kind::Text),
    ("count", Kind::Integer),
    ("errors", Kind::Integer),
    ("rows", Kind::Integer),
    ("total_seconds", Kind::Seconds),
    ("average_seconds", Kind::Seconds),
    ("min_seconds", Kind::Seconds),
    ("max_seconds", Kind::Seconds),
    ("first_seen", Kind::Text),
    ("last_seen", Kind::Text),
    ("statement", Kind::Text),
];

/// Which digests are shown, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Of the statement, as in LIKE.
    pattern: Option<String>,
    /// A column's name.
    order: &'static str,
    is_descending: bool,
    limit: usize,
}

impl Default for Selection {
    /// All, the costliest first.
    fn default() -> Self {
        Self {
            pattern: None,
            order: "total_seconds",
            is_descending: true,
            limit: usize::MAX,
        }
    }
}

impl Selection {
    /// What stands behind `SHOW DIGESTS`: each may be left out, in this order.
    pub(super) fn parse(mut words: &[Word]) -> Result<Self, ParseError> {
        let mut selection = Self::default();
        if let [like, pattern, rest @ ..] = words
            && like.upper == "LIKE"
        {
            selection.pattern = Some(pattern.text.clone());
            words = rest;
        }
        if let [order, by, column, rest @ ..] = words
            && order.upper == "ORDER"
            && by.upper == "BY"
        {
            selection.order = named(&column.text)?;
            selection.is_descending = false;
            words = rest;
            if let [direction, rest @ ..] = words
                && matches!(&*direction.upper, "ASC" | "DESC")
            {
                selection.is_descending = direction.upper == "DESC";
                words = rest;
            }
        }
        if let [limit, number, rest @ ..] = words
            && limit.upper == "LIMIT"
        {
            selection.limit = number.text.parse().map_err(|_| ParseError::NoSelection)?;
            words = rest;
        }
        match words {
            [] => Ok(selection),
            _ => Err(ParseError::NoSelection),
        }
    }

    fn apply(&self, reports: &mut Vec<DigestReport>) {
        if let Some(pattern) = &self.pattern {
            reports.retain(|report| is_like(report.text.as_bytes(), pattern.as_bytes()));
        }
        reports.sort_by(|a, b| match self.is_descending {
            true => compare(self.order, b, a),
            false => compare(self.order, a, b),
        });
        reports.truncate(self.limit);
    }
}

fn named(text: &str) -> Result<&'static str, ParseError> {
    let mut names = COLUMNS.iter().map(|(name, _)| *name);
    let name = names.find(|name| name.eq_ignore_ascii_case(text));
    name.ok_or(ParseError::NoSelection)
}

fn compare(column: &str, a: &DigestReport, b: &DigestReport) -> Ordering {
    match column {
        "digest" => a.digest.cmp(&b.digest),
        "user" => a.username.cmp(&b.username),
        "database" => a.database.cmp(&b.database),
        "count" => a.count.cmp(&b.count),
        "errors" => a.errors.cmp(&b.errors),
        "rows" => a.rows.cmp(&b.rows),
        "average_seconds" => average(a).cmp(&average(b)),
        "min_seconds" => a.min_time.cmp(&b.min_time),
        "max_seconds" => a.max_time.cmp(&b.max_time),
        "first_seen" => a.first_seen.cmp(&b.first_seen),
        "last_seen" => a.last_seen.cmp(&b.last_seen),
        "statement" => a.text.cmp(&b.text),
        _ => a.total_time.cmp(&b.total_time),
    }
}

fn average(report: &DigestReport) -> Duration {
    let nanos = report.total_time.as_nanos() / u128::from(report.count.max(1));
    Duration::from_nanos(nanos as u64)
}

/// To the microsecond.
fn seconds(time: Duration) -> Value {
    value(format_args!("{:.6}", time.as_secs_f64()))
}

/// One row for each digest of a user in a database; the digest is NULL for those that are summed up.
pub(super) fn show(control: &Control, selection: &Selection) -> Answer {
    let Some(mut reports) = control.digests() else {
        return error("digests are switched off: --digest-limit is 0");
    };
    selection.apply(&mut reports);
    let rows = reports.into_iter().map(|report| {
        vec![
            report.digest.and_then(value),
            value(&report.username),
            value(&report.database),
            value(report.count),
            value(report.errors),
            value(report.rows),
            seconds(report.total_time),
            seconds(average(&report)),
            seconds(report.min_time),
            seconds(report.max_time),
            local_time(report.first_seen),
            local_time(report.last_seen),
            value(report.text),
        ]
    });
    Answer::Rows(COLUMNS, rows.collect())
}

/// Counts from now on.
pub(super) fn reset(control: &Control) -> Answer {
    control.reset_digests();
    Answer::Ok(0)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::statement::Statement;

    fn selection(text: &str) -> Result<Selection, ParseError> {
        match Statement::parse(format!("SHOW DIGESTS {text}").as_bytes())? {
            Statement::ShowDigests(selection) => Ok(selection),
            other => panic!("{other:?}"),
        }
    }

    /// By count and milliseconds.
    fn shown(text: &str) -> Vec<u64> {
        let report = |(count, millis)| DigestReport {
            digest: None,
            text: format!("SELECT {count}"),
            username: String::new(),
            database: String::new(),
            count,
            errors: 0,
            rows: 0,
            total_time: Duration::from_millis(millis),
            min_time: Duration::ZERO,
            max_time: Duration::ZERO,
            first_seen: SystemTime::UNIX_EPOCH,
            last_seen: SystemTime::UNIX_EPOCH,
        };
        let mut reports: Vec<_> = [(1, 20), (10, 40), (2, 60)].map(report).into();
        selection(text).unwrap().apply(&mut reports);
        reports.into_iter().map(|report| report.count).collect()
    }

    #[test]
    fn a_selection_sorts_and_cuts() {
        assert_eq!(shown(""), [2, 10, 1], "the costliest first");
        assert_eq!(shown("LIMIT 1"), [2]);
        assert_eq!(shown("order by COUNT"), [1, 2, 10]);
        assert_eq!(shown("ORDER BY count DESC LIMIT 2;"), [10, 2]);
        assert_eq!(shown("ORDER BY average_seconds ASC"), [10, 1, 2]);
        assert_eq!(shown("LIKE '%1%' ORDER BY count"), [1, 10]);
        for column in COLUMNS {
            assert_eq!(shown(&format!("ORDER BY {}", column.0)).len(), 3);
        }
    }

    #[test]
    fn what_is_wrong_with_a_selection_is_said() {
        for text in [
            "ORDER BY",
            "ORDER BY nothing",
            "LIMIT x",
            "LIMIT",
            "LIMIT 1 ORDER BY count",
            "WHERE a = 1",
        ] {
            assert_eq!(selection(text), Err(ParseError::NoSelection), "{text}");
        }
    }
}
