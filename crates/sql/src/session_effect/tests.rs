use proptest::prelude::*;

use super::*;

fn settings(sql: &str) -> String {
    let effects = SessionEffects::of(sql.as_bytes());
    assert_eq!(effects.pin, None, "{sql}");
    let settings = effects.settings.iter();
    let settings = settings.map(|of| {
        let name = String::from_utf8_lossy(&of.name);
        format!("{name}: {}", String::from_utf8_lossy(&of.sql))
    });
    settings.collect::<Vec<_>>().join("; ")
}

fn pin(sql: &str) -> &'static str {
    SessionEffects::of(sql.as_bytes())
        .pin
        .map_or("", Pin::reason)
}

fn is_for_good(sql: &str) -> bool {
    matches!(
        SessionEffects::of(sql.as_bytes()).pin,
        Some(Pin::ForGood(_))
    )
}

fn used(sql: &str) -> Option<String> {
    let name = SessionEffects::of(sql.as_bytes()).database?;
    Some(String::from_utf8_lossy(&name).into_owned())
}

#[test]
fn nothing_is_left_behind() {
    for sql in [
        "",
        " ; ;",
        "select 1",
        " \n Select 1 / 2, a_b",
        "SELECT @@version, @@global.x, @@`sql_mode`",
        "SELECT 'get_lock(1)', 'a@b', `a@b` -- @c\n # @d ' \n /* @e */",
        "(SELECT 1) UNION (SELECT 2); COMMIT",
        "BEGIN",
        "BEGIN WORK;",
        "START TRANSACTION",
        "SET GLOBAL a = 1, b = 2",
        "SET @@global.a = 1, PERSIST b = 'x', @@persist_only.c=2",
        "SET GLOBAL TRANSACTION READ ONLY",
        "SET PASSWORD = 'x'",
        "SET DEFAULT ROLE a TO b",
        "CREATE TABLE t (a int)",
        "FLUSH TABLES",
        "UNLOCK TABLES",
        "DROP TEMPORARY TABLE t",
        "/*!40101 SELECT 1 */;",
        "SELECT /*!99999 1, */ 2",
        "--\x01 @a",
        "SELECT row_count, last_insert_id, found_rows, value, previous, nextval FROM warnings",
        "SHOW TABLES LIKE 'warnings'",
        "SHOW COLUMNS FROM errors",
        "SELECT 'LAST_INSERT_ID()', \"it\\'s @\" -- FOUND_ROWS()",
        "DROP TABLE a",
    ] {
        let effects = SessionEffects::of(sql.as_bytes());
        assert!(effects.is_empty(), "{sql}: {effects:?}");
    }
}

#[test]
fn settings_are_repeated_as_they_were_written() {
    for (sql, expected) in [
        (
            "SET Sql_Mode='STRICT_ALL_TABLES'",
            "sql_mode: SET SESSION sql_mode = 'STRICT_ALL_TABLES'",
        ),
        (
            "SET sql_auto_is_null = 0",
            "sql_auto_is_null: SET SESSION sql_auto_is_null = 0",
        ),
        (
            "SET autocommit = 0",
            "autocommit: SET SESSION autocommit = 0",
        ),
        (
            "set/**/session/**/a/**/:=/**/-/**/1",
            "a: SET SESSION a = -1",
        ),
        (
            "SET LOCAL a=1.5, @@session.b = ON,@@local . c='it''s;x',@@d=DEFAULT,@@`e`=NULL",
            "a: SET SESSION a = 1.5; b: SET SESSION b = ON; c: SET SESSION c = 'it''s;x'; \
             d: SET SESSION d = DEFAULT; e: SET SESSION e = NULL",
        ),
        (
            "SET GLOBAL a=1, @@b=2, SESSION c=3, d=4",
            "b: SET SESSION b = 2; c: SET SESSION c = 3; d: SET SESSION d = 4",
        ),
        (
            "set names UTF8MB4 collate 'utf8mb4_bin'",
            "names: SET NAMES UTF8MB4 COLLATE 'utf8mb4_bin'",
        ),
        ("SET NAMES default", "names: SET NAMES default"),
        (
            "SET CHARACTER # x\n SET latin1, a=1",
            "character set: SET CHARACTER SET latin1; a: SET SESSION a = 1",
        ),
        (
            "SET CHARSET 'utf8'",
            "character set: SET CHARACTER SET 'utf8'",
        ),
        (
            "SET SESSION TRANSACTION ISOLATION /**/ LEVEL READ COMMITTED, READ ONLY",
            "transaction isolation: SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
             transaction access: SET SESSION TRANSACTION READ ONLY",
        ),
        (
            "/*!40101 SET NAMES utf8 */; /*M!100100 SET a=1*/",
            "names: SET NAMES utf8; a: SET SESSION a = 1",
        ),
        ("/*! 50003 SET a=1 */", "a: SET SESSION a = 1"),
        (
            "SELECT ';'; SET a=1; SET a=2",
            "a: SET SESSION a = 1; a: SET SESSION a = 2",
        ),
    ] {
        assert_eq!(settings(sql), expected, "{sql}");
    }
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
        ("SELECT 1; USE a; USE b", "b"),
        ("/*! USE shop */", "shop"),
    ] {
        assert_eq!(used(sql).as_deref(), Some(name), "{sql}");
        assert_eq!(pin(sql), "", "{sql}");
    }
    for sql in [
        "",
        "USE",
        "USE ",
        "USE ;",
        "USE ``",
        "USE `a",
        "USER shop",
        "useshop",
        "USE a b",
        "USE a.b",
        "USE 'a'",
        "/* USE shop",
        "SELECT 'USE shop'",
        "-- USE shop",
        "--USE shop",
    ] {
        assert_eq!(used(sql), None, "{sql}");
    }
}

/// Texts, and why each is pinned.
fn assert_pinned(why: &str, texts: &[&str]) {
    for sql in texts {
        assert_eq!(pin(sql), why, "{sql}");
    }
}

#[test]
fn what_cannot_be_moved_is_pinned() {
    for (why, texts) in [
        (
            "a user variable",
            &[
                "SELECT 1 INTO @a",
                "SELECT @'a'",
                "SET @`a`=1",
                "SELECT @\"a\"",
                "SELECT @@@a",
            ][..],
        ),
        (
            "GET_LOCK",
            &[
                "select Get_Lock('a',1)",
                "DO `get_lock` /**/ ('a',1)",
                "SELECT GET_LOCK ('a', 1)",
                "SELECT \"get_lock\"('a', 1)",
                "SELECT `get_lock`('a', 1)",
                "SELECT service_get_read_locks('a', 'b', 1)",
                "SELECT version_tokens_lock_shared('a', 1)",
            ],
        ),
        (
            "DROP DATABASE",
            &["DROP DATABASE a", "drop /**/ schema if exists a"],
        ),
        (
            "LOCK TABLES",
            &["LOCK TABLES a READ", "lock/**/tables a read; UNLOCK TABLES"],
        ),
        (
            "FLUSH TABLES",
            &[
                "FLUSH TABLES WITH READ LOCK",
                "flush tables a for/**/export",
            ],
        ),
        (
            "a temporary table",
            &[
                "CREATE OR REPLACE TEMPORARY TABLE t (a int)",
                "create # x\n temporary table t (a int)",
                "CREATE /*!99999 TABLE */ temporary TABLE t (a int)",
            ],
        ),
        ("HANDLER", &["HANDLER t OPEN"]),
        (
            "PREPARE",
            &["PREPARE a FROM 'x'", "EXECUTE a", "DEALLOCATE PREPARE a"],
        ),
        ("CALL", &["call p()"]),
        ("XA", &["XA START 'a'"]),
        ("BINLOG", &["BINLOG 'x'"]),
        ("a compound statement", &["BEGIN NOT ATOMIC SELECT 1; END"]),
        (
            "a statement that is not known",
            &["FETCH x", "`SELECT` 1", "SELECTED 1", "'a'", "USER shop"],
        ),
        (
            "a USE that cannot be read",
            &["USE", "USE a b", "USE a.b", "USE 'a'", "USE ``", "USE `a"],
        ),
    ] {
        assert_pinned(why, texts);
    }
}

#[test]
fn sets_that_cannot_be_repeated_are_pinned() {
    for (why, texts) in [
        (
            "SET TRANSACTION",
            &["SET TRANSACTION READ ONLY", "SET @@tx_isolation='x'"][..],
        ),
        ("SET ROLE", &["SET ROLE a", "SET a=1, ROLE b"]),
        ("SET RESOURCE GROUP", &["SET RESOURCE GROUP a"]),
        ("a user variable", &["SET @a = 1", "SET a = 1, @`b` = 2"]),
        ("SET STATEMENT", &["SET STATEMENT a=1 FOR SELECT 1"]),
        (
            "a SET for one statement or of the session's identity",
            &[
                "SET timestamp=1",
                "SET @@SESSION.Insert_Id=1",
                "SET PASSWORD='a', b=1",
                "SET sql_log_bin=0",
            ],
        ),
        (
            "a SET that cannot be repeated",
            &[
                "SET",
                "SET a=",
                "SET a=1,",
                "SET a=1+1",
                "SET a=@@b",
                "SET a=now()",
                "SET a=CURRENT_USER",
                "SET a='x\\n'",
                "SET a='x",
                "SET a=_utf8'x'",
                "SET a='x' 'y'",
                "SET SESSION TRANSACTION x()",
                "SET a='\u{e4}'",
                "SET a.b=1",
                "SET collation_database = latin1_bin",
                "SET sql_auto_is_null = 1",
                "SET SESSION AUTHORIZATION a",
            ],
        ),
        (
            "an SQL mode that changes how texts are read",
            &[
                "SET sql_mode=Ansi",
                "SET sql_mode='a,no_backslash_Escapes'",
                "SET sql_mode=4",
                "SET sql_mode=0x414E5349",
            ],
        ),
        (
            "a character set with backslashes in its characters",
            &[
                "SET NAMES gbk",
                "SET character_set_client='SJIS'",
                "SET CHARSET big5",
                "SET character_set_client=28",
                "SET collation_connection=cp932_bin",
                "SET NAMES utf8 COLLATE gb18030_bin",
            ],
        ),
    ] {
        assert_pinned(why, texts);
    }
}

/// A reset leaves roles, resource groups and the default database as they are, and what was not understood may be those.
#[test]
fn what_no_reset_undoes_is_pinned_for_good() {
    for sql in [
        "SET ROLE a",
        "SET @a = 1; SET ROLE b",
        "SET a = f(), ROLE b",
        "SET RESOURCE GROUP a",
        "SET STATEMENT a = 1 FOR SELECT 1",
        "CALL p()",
        "EXECUTE IMMEDIATE 'SET ROLE a'",
        "DROP DATABASE a",
        "BEGIN NOT ATOMIC SELECT 1; END",
        "FETCH x",
        "/*!99999 SELECT */ SET a = 1",
        "SET NAMES gbk",
        "SET sql_mode = ANSI",
        r#"SELECT "a\" ; "#,
    ] {
        assert!(is_for_good(sql), "{sql}");
    }
    for sql in [
        "SET @a = 1",
        "SET a = f()",
        "SELECT GET_LOCK('a', 1)",
        "CREATE TEMPORARY TABLE a (a INT)",
        "LOCK TABLES a READ",
        "HANDLER a OPEN",
        "XA START 'a'",
        "SET TRANSACTION READ ONLY",
        "SET timestamp = 1",
    ] {
        assert!(!pin(sql).is_empty() && !is_for_good(sql), "{sql}");
    }
}

#[test]
fn diagnostics_are_those_of_an_earlier_statement() {
    let effects = SessionEffects::of(b"GET CURRENT DIAGNOSTICS CONDITION 1 @a = MESSAGE_TEXT");
    assert_eq!(effects.recall, Recall::WARNINGS | Recall::ROW_COUNT);
    assert_eq!(effects.pin, Some(Pin::UntilReset("a user variable")));
}

#[test]
fn questions_about_earlier_statements_are_seen() {
    for (expected, texts) in [
        (
            Recall::INSERT_ID,
            &[
                "SELECT LAST_INSERT_ID()",
                "select last_insert_id ( /**/ ) + 1",
                "DELETE FROM t WHERE a = `LAST_INSERT_ID`()",
                "SELECT LAST_INSERT_ID(/*!99999 5 */)",
                "SELECT @@identity, @@session . last_insert_id",
                "SELECT @@last_insert_id",
                "/*! SELECT LAST_INSERT_ID() */",
            ][..],
        ),
        (
            Recall::SETS_INSERT_ID,
            &[
                "SELECT LAST_INSERT_ID(5)",
                "UPDATE t SET a = LAST_INSERT_ID(a + 1)",
            ],
        ),
        (
            Recall::INSERT_ID | Recall::SETS_INSERT_ID,
            &["SELECT LAST_INSERT_ID(LAST_INSERT_ID() + 1)"],
        ),
        (
            Recall::WARNINGS,
            &[
                "SHOW WARNINGS LIMIT 1",
                "show/**/errors",
                "SHOW COUNT(*) WARNINGS",
                "SHOW /*!99999 x */ WARNINGS",
                "SELECT @@warning_count",
                "SELECT @@session.error_count",
            ],
        ),
        (
            Recall::FOUND_ROWS,
            &["SELECT FOUND_ROWS()", "SELECT `found_rows`()"],
        ),
        (Recall::ROW_COUNT, &["SELECT row_count ()"]),
        (
            Recall::SEQUENCE,
            &["SELECT LASTVAL(s)", "SELECT PREVIOUS # x\n VALUE FOR s"],
        ),
        (
            Recall::INSERTS,
            &["INSERT INTO t (a) VALUES (1)", "replace t VALUES (1) /**/"],
        ),
        (
            Recall::SETS_INSERT_ID,
            &[
                "LOAD DATA INFILE 'a' INTO TABLE t",
                "ANALYZE FORMAT=JSON INSERT t VALUES (1)",
            ],
        ),
        (
            Recall::INSERTS | Recall::SETS_INSERT_ID,
            &["INSERT INTO t VALUES (1); SELECT 1"],
        ),
        (
            Recall::SETS_SEQUENCE,
            &["SELECT NEXTVAL(s)", "DO (next value for s)"],
        ),
    ] {
        for sql in texts {
            let effects = SessionEffects::of(sql.as_bytes());
            assert_eq!((effects.recall, effects.pin), (expected, None), "{sql}");
            assert!(!effects.is_empty(), "{sql}");
        }
    }
}

#[test]
fn several_things_are_compound() {
    for (sql, expected) in [
        ("SET a = 1", false),
        ("SET a = 1;", false),
        ("; USE a ;", false),
        ("SET a = 1, GLOBAL b = 2", true),
        ("USE a; SELECT 1", true),
    ] {
        assert_eq!(
            SessionEffects::of(sql.as_bytes()).is_compound,
            expected,
            "{sql}"
        );
    }
}

/// Bytes beyond ASCII may be blanks: 0xa0 is one in latin1.
#[test]
fn blanks_beyond_ascii_hide_nothing() {
    for sql in [
        &b"CREATE OR REPLACE\xa0TEMPORARY\xa0TABLE a (a INT)"[..],
        b"SELECT GET_LOCK\xa0('a', 1)",
        b"FLUSH TABLES\xa0WITH\xa0READ\xa0LOCK",
        b"DROP DATABASE\xa0a",
        b"SELECT 1 --\xa0'\n, @a -- '",
        b"/*! SELECT 1 --\xa0*/ , @a",
        b"SELECT LAST_INSERT_ID\xa0()",
        b"SET a = f(),\xa0ROLE\xa0b",
        b"CREATE\xa0TABLE a (a INT)",
        b"CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $$ ' $$; SET ROLE a; -- '",
    ] {
        let pin = SessionEffects::of(sql).pin;
        assert!(
            matches!(pin, Some(Pin::ForGood(_))),
            "{}: {pin:?}",
            String::from_utf8_lossy(sql)
        );
    }
    for sql in [
        "SELECT größe FROM t; SELECT 2",
        "SELECT `lock\u{a0}` FROM t; SELECT '\u{a0}lock'",
    ] {
        assert_eq!(pin(sql), "", "{sql}");
    }
}

/// Servers execute comments or not, by their version: both readings count.
#[test]
fn comments_that_servers_execute_hide_nothing() {
    assert_pinned(
        "a user variable",
        &[
            "SELECT /*!99999 @a */ 1",
            "SELECT /*M!100100 @a */",
            "SELECT /*!@a",
        ],
    );
    assert_pinned(
        "a statement in part in a comment",
        &[
            "/*!99999 SELECT */ SET a=1",
            "/*!99999 SELECT */ /*!1 SET a=1 */",
            "SET a=1 /*!99999 , b=2 */",
            "FLUSH TABLES /*!99999 ; */ WITH READ LOCK",
        ],
    );
    assert_pinned(
        "a text that servers read differently",
        &[
            r#"SELECT "a\", @b, "c"; "#,
            r#"/*! SELECT "a\", "*/ @b"#,
            "SELECT /*! '*/', 1 '*/",
            "SELECT /*! 1 -- */ 1",
            "SELECT /*! /* */ 1 */",
        ],
    );
}

#[test]
fn settings_are_bounded() {
    let of = |count: usize| {
        SessionEffects::of(format!("SET a=1{}", ",a=1".repeat(count - 1)).as_bytes())
    };
    assert_eq!((of(64).settings.len(), of(64).pin), (64, None));
    let too_many = Pin::UntilReset("too many settings");
    assert_eq!((of(65).settings.len(), of(65).pin), (64, Some(too_many)));
    let too_long = Pin::ForGood("a SET that cannot be repeated");
    assert_eq!(of(100_000).pin, Some(too_long));
    let value = |length| format!("SET a = '{}'", "x".repeat(length));
    assert_eq!(pin(&value(4000)), "");
    assert_eq!(pin(&value(4100)), "a SET that cannot be repeated");
}

proptest! {
    #[test]
    fn every_text_has_effects(sql in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(SessionEffects::of(&sql).settings.len() <= SETTINGS_MAX);
    }

    #[test]
    fn the_fast_path_agrees(
        word in "[ \t]{0,2}(select|INSERT|Commit|SHOW|SET|show_|replace|LOCK)",
        rest in "([ a-z@;/*'\"`#\\\\.0-9(!-]|get_lock|_lock|Last_Insert_ID|row_count\\(|found_rows \\(|lastval|curr|previous value){0,16}",
    ) {
        let sql = [word, rest].concat();
        if let Some(recall) = plainly_harmless(sql.as_bytes()) {
            let expected = SessionEffects { recall, ..SessionEffects::default() };
            prop_assert_eq!(SessionEffects::read(sql.as_bytes()), expected, "{}", sql);
        }
    }

    #[test]
    fn user_variables_pin(
        before in "(SELECT|SET|/\\*!50003 SELECT|INSERT INTO t VALUES \\('x;', |# ' \n DO|USE a; SELECT|-- \"\nSET a=1,)",
        blank in "( |/\\*\\*/|/\\* ' \\*/|# '\n|--\t\"\n){1,3}",
        name in "@([a-z]{1,3}|'[a-z ;]{1,3}'|`[a-z#]{1,3}`|\"x\")",
        after in "(| := 1|, 2|; SELECT 1| \\*/)",
    ) {
        let sql = [before, blank, name, after].concat();
        prop_assert!(SessionEffects::of(sql.as_bytes()).pin.is_some(), "{}", sql);
    }
}
