use proptest::prelude::*;

use super::*;

fn of(sql: &str) -> SessionEffects {
    let effects = SessionEffects::of(sql.as_bytes());
    assert_eq!(effects, SessionEffects::of_tokens(sql.as_bytes()), "{sql}");
    effects
}

/// `name: statement|name: statement`
fn settings(sql: &str) -> String {
    let effects = of(sql);
    assert_eq!(effects.pin, None, "{sql}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let settings = effects.settings.iter();
    let settings =
        settings.map(|setting| format!("{}: {}", text(&setting.name), text(&setting.sql)));
    settings.collect::<Vec<_>>().join("|")
}

#[test]
fn most_statements_leave_nothing_behind() {
    for sql in [
        "",
        " ; ;",
        "-- nothing",
        "# @a",
        "select 1",
        " SELECT a, '@b;/*', `@c` FROM t WHERE d = \"GET\" ",
        "SELECT @@version",
        "(SELECT 1)",
        "INSERT INTO t VALUES ('it''s', 'a@b.c')",
        "/* @a */ UPDATE t SET a = 1",
        "SELECT /*!40001 SQL_NO_CACHE */ * FROM t",
        "START TRANSACTION; DELETE FROM t; COMMIT",
        "BEGIN",
        "BEGIN WORK",
        "CREATE TABLE t (a INT)",
        "SHOW TABLES",
        "SET GLOBAL a = 1, b = 2",
        "SET @@global.a = 1",
        "SET PERSIST a = 1",
        "SET PASSWORD = 'secret'",
        "SET DEFAULT ROLE ALL TO anna",
        "SET autocommit = 0",
        "FLUSH TABLES",
        "UNLOCK TABLES",
        "SELECT target_locks FROM t",
    ] {
        assert!(of(sql).is_empty(), "{sql}: {:?}", of(sql));
    }
}

#[test]
fn settings_are_said_again_as_they_were() {
    for (sql, expected) in [
        (
            "SET sql_mode = 'STRICT_ALL_TABLES'",
            "sql_mode: SET SESSION sql_mode = 'STRICT_ALL_TABLES'",
        ),
        (
            "set SESSION Wait_Timeout:=-7",
            "wait_timeout: SET SESSION wait_timeout = - 7",
        ),
        (
            "SET @@a = ON, @@session.b = 1.5, local c = DEFAULT",
            "a: SET SESSION a = ON|b: SET SESSION b = 1.5|c: SET SESSION c = DEFAULT",
        ),
        (
            "SET a = 1, GLOBAL b = 2, c = 3, SESSION d = 4",
            "a: SET SESSION a = 1|d: SET SESSION d = 4",
        ),
        ("SET a = 1; SET a = 2", "a: SET SESSION a = 2"),
        ("SET NAMES utf8mb4", "names: SET NAMES utf8mb4"),
        (
            "SET NAMES 'utf8mb4' COLLATE utf8mb4_bin",
            "names: SET NAMES 'utf8mb4' COLLATE utf8mb4_bin",
        ),
        ("SET NAMES DEFAULT", "names: SET NAMES DEFAULT"),
        (
            "SET CHARACTER SET latin1",
            "character set: SET CHARACTER SET latin1",
        ),
        (
            "SET charset latin1",
            "character set: SET CHARACTER SET latin1",
        ),
        (
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "transaction: SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        ),
        (
            "/* hi */ SET /**/ a /**/ = /**/ 'x''y' -- done",
            "a: SET SESSION a = 'x''y'",
        ),
        (
            "SET character_set_results = NULL",
            "character_set_results: SET SESSION character_set_results = NULL",
        ),
    ] {
        assert_eq!(settings(sql), expected, "{sql}");
    }
}

#[test]
fn what_cannot_be_moved_is_named() {
    for (sql, reason) in [
        ("SET @a = 1", "a user variable"),
        ("SELECT @`a b` := 1", "a user variable"),
        ("SELECT 1 INTO @'a'", "a user variable"),
        ("SELECT 1; SET @a = 1", "a user variable"),
        ("/*!50000 SET @a = 1 */", "a user variable"),
        ("SELECT 1 /*M!100100 INTO @a */", "a user variable"),
        ("# nothing\nSET @a = 1", "a user variable"),
        ("SELECT 'it\\'s', @a", "a user variable"),
        ("SELECT GET_LOCK('a', 1)", "GET_LOCK"),
        ("SELECT get_lock ('a', 1)", "GET_LOCK"),
        ("LOCK TABLES t WRITE", "LOCK TABLES"),
        ("FLUSH TABLES WITH READ LOCK", "FLUSH TABLES with a lock"),
        ("FLUSH TABLES t FOR EXPORT", "FLUSH TABLES with a lock"),
        ("CREATE TEMPORARY TABLE t (a INT)", "a temporary table"),
        (
            "create or replace temporary table t (a INT)",
            "a temporary table",
        ),
        ("HANDLER t OPEN", "HANDLER"),
        ("PREPARE s FROM 'SELECT 1'", "PREPARE"),
        ("EXECUTE IMMEDIATE 'SET @a = 1'", "EXECUTE"),
        ("CALL p()", "CALL"),
        ("XA START 'a'", "XA"),
        ("BEGIN NOT ATOMIC SELECT 1; END", "a compound statement"),
        ("SET TRANSACTION READ ONLY", "SET TRANSACTION"),
        ("SET ROLE anna", "a SET that cannot be repeated"),
        (
            "SET STATEMENT a = 1 FOR SELECT 1",
            "a SET that cannot be repeated",
        ),
        ("SET a = CONCAT(@@a, 'x')", "a SET that cannot be repeated"),
        ("SET a = b + 1", "a SET that cannot be repeated"),
        ("SET a = (SELECT 1)", "a SET that cannot be repeated"),
        ("SET timestamp = 1", "a SET that cannot be repeated"),
        ("SET sql_mode = 'ansi'", "a SET that cannot be repeated"),
        (
            "SET sql_mode = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES'",
            "a SET that cannot be repeated",
        ),
        ("SET NAMES gbk", "a SET that cannot be repeated"),
        (
            "SET character_set_client = Big5",
            "a SET that cannot be repeated",
        ),
        ("SET", "a SET that cannot be repeated"),
        (
            "/*!40101 SET NAMES utf8 */",
            "a statement that is not known",
        ),
        ("DECLARE a INT", "a statement that is not known"),
        ("SELECT 1 --\x0b'\n, @a := 1", "a user variable"),
        ("SELECT 1 --\r'\n, @a := 1", "a user variable"),
        (
            "SELECT $tag$ ' $tag$, 1; SELECT ';'",
            "a dollar-quoted string",
        ),
        (
            "CREATE PROCEDURE p() BEGIN SET sql_mode = ''; END",
            "a stored program",
        ),
    ] {
        assert_eq!(of(sql).pin, Some(reason), "{sql}");
    }
}

#[test]
fn settings_have_a_bound() {
    let many: Vec<_> = (0..=SETTINGS_MAX)
        .map(|number| format!("v{number} = 1"))
        .collect();
    let effects = of(&format!("SET {}", many.join(", ")));
    assert_eq!(effects.pin, Some("too many settings"));
    assert!(effects.settings.is_empty());
}

#[test]
fn use_names_a_database() {
    for (sql, name) in [
        ("USE shop", "shop"),
        ("use shop;", "shop"),
        ("  \n Use\tshop ; ", "shop"),
        ("use`shop`", "shop"),
        ("USE `a``b c`", "a`b c"),
        ("/* hello */ USE /**/ shop -- done", "shop"),
        ("# line\nUSE shop # done", "shop"),
        ("-- line\nUSE shop --", "shop"),
        ("--\nUSE shop", "shop"),
        ("USE gr\u{fc}n$_1", "gr\u{fc}n$_1"),
        ("USE a; DROP TABLE b", "a"),
        ("USE a; USE b", "b"),
    ] {
        assert_eq!(of(sql).database.as_deref(), Some(name.as_bytes()), "{sql}");
    }
    for sql in [
        "USE",
        "USE ",
        "USE ;",
        "USE ``",
        "USER shop",
        "useshop",
        "USE a b",
        "USE a.b",
        "/* USE shop",
        "/*! USE shop */",
        "SELECT 'USE shop'",
        "-- USE shop",
        "--USE shop",
        "USE 'a'",
    ] {
        assert_eq!(of(sql).database, None, "{sql}");
    }
}

proptest! {
    /// Whatever the text: it has effects, and the short way to none is right.
    #[test]
    fn the_short_way_agrees(tail in "[ab@;/*!#'\"`GETget_LOCKlock(\\n-]{0,24}", word in 0..4_usize) {
        let sql = format!("{} {tail}", ["SELECT", "commit", "Set", "(select"][word]);
        of(&sql);
    }

    #[test]
    fn a_user_variable_is_found(
        before in "(/\\*[a ]\\*/|-- a\n|#'\n|'a;@'|\"'\"|`\"`| |;|\\(){0,6}",
        name in "[a-z]{1,3}|`a b`|'a'",
    ) {
        let sql = format!("SELECT {before} @{name} := 1");
        prop_assert!(of(&sql).pin.is_some(), "{}", sql);
    }

    #[test]
    fn every_text_has_effects(text in proptest::collection::vec(any::<u8>(), 0..64)) {
        let effects = SessionEffects::of(&text);
        prop_assert_eq!(effects.is_empty(), effects == SessionEffects::default());
    }
}
