use super::*;

fn parse(text: &str) -> Result<Statement, ParseError> {
    Statement::parse(text.as_bytes())
}

#[test]
fn words_are_in_any_case_and_blanks_comments_and_semicolons_mean_nothing() {
    for text in [
        "SELECT * FROM backends",
        "select * from BACKENDS;",
        "  SELECT  *\nFROM backends ; ;",
        "/* now */ SELECT * FROM backends -- really",
    ] {
        assert_eq!(parse(text), Ok(Statement::SelectBackends), "{text}");
    }
}

#[test]
fn backends_are_named_by_number_or_address() {
    let number = |n| BackendName::Number(n);
    let address = |text: &str| BackendName::Address(text.to_owned());
    for (text, expected) in [
        (
            "SET BACKEND 2 DRAIN",
            Statement::SetBackend(number(2), Availability::Draining),
        ),
        (
            "set backend 'db1:3306' down",
            Statement::SetBackend(address("db1:3306"), Availability::OutOfService),
        ),
        (
            "SET BACKEND \"/run/x.sock\" UP;",
            Statement::SetBackend(address("/run/x.sock"), Availability::InService),
        ),
        ("REMOVE BACKEND 1", Statement::RemoveBackend(number(1))),
        (
            "ADD BACKEND 'db3' READ ONLY",
            Statement::AddBackend("db3".to_owned(), Role::ReadOnly),
        ),
        (
            "ADD BACKEND 'db3:3307'",
            Statement::AddBackend("db3:3307".to_owned(), Role::ReadWrite),
        ),
        ("KILL 17", Statement::Kill(17)),
        ("KILL CONNECTION 17;", Statement::Kill(17)),
    ] {
        assert_eq!(parse(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_say_instead() {
    for (text, error) in [
        ("SELECT * FROM nonsense", ParseError::Unknown),
        ("DROP TABLE t", ParseError::Unknown),
        ("SET BACKEND", ParseError::NoBackend("SET BACKEND")),
        ("SET BACKEND x DOWN", ParseError::NoBackend("SET BACKEND")),
        ("SET BACKEND DOWN", ParseError::NoBackend("SET BACKEND")),
        ("SET BACKEND 1 2 UP", ParseError::NoBackend("SET BACKEND")),
        (
            "SET BACKEND 1 SIDEWAYS",
            ParseError::NoBackend("SET BACKEND"),
        ),
        ("REMOVE BACKEND", ParseError::NoBackend("REMOVE BACKEND")),
        ("ADD BACKEND db3", ParseError::NoAddress),
        ("ADD BACKEND 'db3' READ", ParseError::NoAddress),
        ("KILL", ParseError::NoId),
        ("KILL QUERY 5", ParseError::NoId),
        ("KILL 99999999999999999999999", ParseError::NoId),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
    }
}

#[test]
fn what_clients_say_by_themselves_is_understood() {
    for text in [
        "select @@version_comment limit 1",
        "SELECT VERSION()",
        "select USER()",
        "SELECT CONNECTION_ID()",
        "SELECT 1",
        "SET NAMES utf8mb4",
        "SET AUTOCOMMIT = 0",
        "SHOW WARNINGS",
        "",
        ";",
    ] {
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn a_string_is_no_word() {
    assert_eq!(parse("'SHOW' BACKENDS"), Err(ParseError::Unknown));
    assert_eq!(
        parse("SET BACKEND 1 'DOWN'"),
        Err(ParseError::NoBackend("SET BACKEND"))
    );
    assert_eq!(
        parse("SHOW SETTINGS LIKE 'proxy%'"),
        Ok(Statement::ShowSettings(Some("proxy%".to_owned())))
    );
}
