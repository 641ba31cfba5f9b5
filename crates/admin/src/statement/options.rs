//! `SHOW SETTINGS`

use std::fmt;

use crate::resultset::{Answer, Column, Kind, value};

/// An option, as it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionValue {
    /// Its long name, without dashes.
    pub name: String,
    /// Its value, without secrets; `None` where it has none.
    pub value: Option<String>,
    /// Who said so.
    pub origin: OptionOrigin,
    /// What counts after a restart, where that is something else: it was said since, and cannot change before.
    pub after_restart: Option<String>,
}

/// Where an option's value is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionOrigin {
    /// Nobody said anything.
    Default,
    /// The defaults file.
    File,
    /// The command line.
    CommandLine,
}

impl fmt::Display for OptionOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::CommandLine => "command line",
        })
    }
}

const COLUMNS: &[Column] = &[
    ("name", Kind::Text),
    ("value", Kind::Text),
    ("origin", Kind::Text),
    ("after_restart", Kind::Text),
];

/// One row for each option; of `pattern` (as in LIKE) if there is one.
pub(super) fn show(options: &[OptionValue], pattern: Option<&str>) -> Answer {
    let rows = options
        .iter()
        .filter(|option| {
            pattern.is_none_or(|pattern| is_like(option.name.as_bytes(), pattern.as_bytes()))
        })
        .map(|option| {
            vec![
                value(&option.name),
                option.value.as_ref().and_then(value),
                value(option.origin),
                option.after_restart.as_ref().and_then(value),
            ]
        });
    Answer::Rows(COLUMNS, rows.collect())
}

/// `%` for any text, `_` for any byte. Takes no longer than both lengths multiplied.
pub(super) fn is_like(mut text: &[u8], mut pattern: &[u8]) -> bool {
    // Behind the latest `%`: what is left of both when it stands for one byte more.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'%', rest)), _) => {
                pattern = rest;
                retry = text.split_first().map(|(_, text)| (text, rest));
            }
            (Some((wanted, rest)), Some((byte, left)))
                if *wanted == b'_' || wanted.eq_ignore_ascii_case(byte) =>
            {
                (pattern, text) = (rest, left);
            }
            (None, None) => return true,
            _ => {
                let Some((left, rest)) = retry else {
                    return false;
                };
                (text, pattern) = (left, rest);
                retry = left.split_first().map(|(_, left)| (left, rest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn patterns() {
        for (pattern, matches) in [
            ("proxy%", true),
            ("%ADDRESS", true),
            ("%-%", true),
            ("proxy_address", true),
            ("%", true),
            ("proxy", false),
            ("_%z%", false),
            ("", false),
            ("%s%s", true),
            ("%a%d%x", false),
            (&"%".repeat(100_000), true),
            (&"%a".repeat(100_000), false),
        ] {
            assert_eq!(
                is_like(b"proxy-address", pattern.as_bytes()),
                matches,
                "{pattern}"
            );
        }
    }
}
