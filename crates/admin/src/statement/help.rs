//! `SELECT * FROM help`

use crate::resultset::{Answer, Column, Kind, value};

const COLUMNS: &[Column] = &[("command", Kind::Text), ("description", Kind::Text)];

/// All that can be said.
const STATEMENTS: &[(&str, &str)] = &[
    ("SELECT * FROM help", "shows this help"),
    (
        "SELECT * FROM backends",
        "lists the backends and their state",
    ),
    (
        "SHOW BACKENDS",
        "the same with reasons, since when, and idle connections",
    ),
    (
        "SET BACKEND 2 UP",
        "takes clients again, while it is up; 2 is its number, or 'its address'",
    ),
    (
        "SET BACKEND 2 DRAIN",
        "takes no new clients; those that it has stay; idle connections are closed",
    ),
    (
        "SET BACKEND 2 DOWN",
        "takes no clients, and those that it has are closed with an error",
    ),
    (
        "ADD BACKEND 'db3:3306'",
        "one more server; with READ ONLY behind it, for scripts only",
    ),
    (
        "REMOVE BACKEND 2",
        "is no backend any more; its clients are closed with an error",
    ),
    (
        "SHOW SESSIONS",
        "lists the clients: who, where, doing what for how long",
    ),
    ("KILL 17", "closes a client with an error; 17 is its id"),
    ("SHOW POOLS", "lists idle connections by backend and user"),
    (
        "SHOW SCRIPTS",
        "lists the scripts' versions with their faults and errors",
    ),
    (
        "SHOW DIGESTS",
        "what statements cost without their literals; LIKE '%t1%' ORDER BY count DESC LIMIT 10 for some",
    ),
    ("RESET DIGESTS", "counts them from now on"),
    ("SHOW STATUS", "counts what was done since the start"),
    (
        "SHOW EVENTS",
        "lists the latest lines of the log, the newest first",
    ),
    (
        "SHOW SETTINGS",
        "lists the options and where they are from; LIKE 'proxy%' for some",
    ),
    (
        "RELOAD",
        "reads the defaults file again, as SIGHUP does, and lists what came of it",
    ),
];

pub(super) fn show() -> Answer {
    let rows = STATEMENTS
        .iter()
        .map(|(statement, text)| vec![value(statement), value(text)]);
    Answer::Rows(COLUMNS, rows.collect())
}

#[cfg(test)]
mod tests {
    use super::STATEMENTS;
    use crate::statement::Statement;

    #[test]
    fn what_the_help_names_is_understood() {
        for (statement, _) in STATEMENTS {
            assert!(
                Statement::parse(statement.as_bytes()).is_ok(),
                "{statement}"
            );
        }
    }
}
