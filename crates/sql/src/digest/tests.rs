use proptest::prelude::*;

use super::*;

const WHOLE: Reading = Reading {
    backslash_escapes: true,
    is_cut: false,
};

fn text(sql: &str) -> String {
    String::from_utf8(normalised(sql.as_bytes(), WHOLE)).unwrap()
}

fn digest(sql: &str) -> Digest {
    Digest::of(sql.as_bytes(), WHOLE)
}

#[test]
fn literals_are_hidden() {
    let cases = [
        ("", ""),
        ("SELECT 1", "SELECT ?"),
        ("SELECT 'it''s', \"b\\\"c\"", "SELECT ?, ?"),
        ("SELECT 'a' 'b'\n'c'", "SELECT ?"),
        (
            "SELECT 1.5, .5, 1., 1e5, 1.5E-3, 0x1F, 0b01, x'1f', N'a', _utf8mb4 'a', _latin1'b'",
            "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?",
        ),
        ("SELECT a FROM t WHERE b=-1", "SELECT a FROM t WHERE b = ?"),
        ("SELECT -1, - 1, - -1, +1", "SELECT ?, ?, ?, ?"),
        (
            "SELECT a-1, a - -1, -a, - + b",
            "SELECT a - ?, a - ?, - a, - + b",
        ),
        ("SELECT (a)-1, `a`-1, 2-1", "SELECT (a) - ?, `a` - ?, ? - ?"),
        (
            "WHERE a IS NULL AND b IS NOT NULL",
            "WHERE a IS NULL AND b IS NOT NULL",
        ),
        ("SET a = NULL, b = TRUE", "SET a = ?, b = ?"),
        ("SELECT t.null", "SELECT t.null"),
        ("SELECT ?", "SELECT ?"),
        ("SELECT a->'$.b', a->>'$.c'", "SELECT a -> ?, a ->> ?"),
        (
            "CREATE USER 'u'@'h' IDENTIFIED BY 'secret'",
            "CREATE USER ? @ ? IDENTIFIED BY ?",
        ),
        ("SELECT 'never closed", "SELECT ?"),
        (
            "SELECT x_1, 12ab, `a 1`, t.1, d.2t.c",
            "SELECT x_1, 12ab, `a 1`, t.1, d.2t.c",
        ),
        (
            "SELECT @a := 1, @@b, @@global.c",
            "SELECT @a := ?, @@b, @@global.c",
        ),
    ];
    for (sql, expected) in cases {
        assert_eq!(text(sql), expected, "{sql}");
    }
}

#[test]
fn repetitions_are_one() {
    let cases = [
        ("IN (1,2,3)", "IN (?, ...)"),
        ("IN (1)", "IN (?, ...)"),
        ("IN(?)", "IN(?, ...)"),
        ("IN (a)", "IN (a)"),
        ("f(1)", "f(?)"),
        ("f(1, 2)", "f(?, ...)"),
        ("f(1, 2 + a, 3)", "f(?, ? + a, ?)"),
        ("f(a, a, 1, 2, b, 3)", "f(a, a, ?, ..., b, ?)"),
        ("IN ((1,2),(3,4),(5,6))", "IN ((?, ...), ...)"),
        ("VALUES (1),(2)", "VALUES (?), ..."),
        ("VALUES (1)", "VALUES (?)"),
        (
            "INSERT INTO t (a,b) VALUES (1,'x'),(2,'y'),(NULL,'z') ON DUPLICATE KEY UPDATE a=1",
            "INSERT INTO t (a, b) VALUES (?, ...), ... ON DUPLICATE KEY UPDATE a = ?",
        ),
        (
            "VALUES (1, now()), (2, now()), (3, now())",
            "VALUES (?, now()), ...",
        ),
        (
            "VALUES (1), (a), (2), (3), (4)",
            "VALUES (?), (a), (?), ...",
        ),
        ("SELECT (1), a, (2)", "SELECT (?), a, (?)"),
        ("SELECT count(*), f()", "SELECT count(*), f()"),
        ("((((((((((1,2))))))))))", "((((((((((?, ?))))))))))"),
        ("(1,2", "(?, ?"),
        ("1))", "?))"),
        ("(1,)", "(?,)"),
        ("(a,b),", "(a, b),"),
    ];
    for (sql, expected) in cases {
        assert_eq!(text(sql), expected, "{sql}");
    }
}

#[test]
fn comments_space_and_case_are_nothing() {
    for (one, other) in [
        ("SELECT a FROM t", "select\n A  from\tt -- really"),
        ("SELECT a FROM t", "/* x */ SELECT a /*y*/FROM t # z"),
        ("SELECT a, b", "SELECT a,b"),
        ("SELECT COUNT(*)", "select count ( * )"),
        ("SELECT 1", "SELECT /*traceparent='00-ab-cd-01'*/ 'x'"),
        ("SET a = 1", "/*!40101 SET a = 2 */"),
        ("SET a = 1", "/*M!100100 SET a = 2 */"),
        ("x IN (1)", "X in (?, ?)"),
        (
            "INSERT INTO t VALUES (1,2),(3,4)",
            "INSERT INTO t VALUES (?,?),(?,?),(?,?)",
        ),
    ] {
        assert_eq!(digest(one), digest(other), "{one} | {other}");
    }
    assert_eq!(text("SELECT a/*x*/FROM t -- y"), "SELECT a FROM t");
    assert_eq!(
        text("SELECT /*+ MAX_EXECUTION_TIME(1000) */ a"),
        "SELECT /*+ MAX_EXECUTION_TIME(?) */ a"
    );
}

#[test]
fn what_is_different_has_another_digest() {
    let statements = [
        "SELECT a FROM t",
        "SELECT b FROM t",
        "SELECT a FROM `t`",
        "SELECT a FROM `T`",
        "SELECT a.b FROM t",
        "SELECT a b FROM t",
        "SELECT ab FROM t",
        "SELECT a FROM t WHERE b = 1",
        "SELECT a FROM t WHERE b < 1",
        "SELECT a FROM t WHERE b <= 1",
        "SELECT a FROM t WHERE b IN (1)",
        "SELECT a FROM t WHERE b = f(1)",
        "SELECT a FROM t WHERE b = f(1, 2)",
        "SELECT a FROM t WHERE b = f(g(1), 2)",
        "SELECT a FROM t WHERE b = f(g(1, 2))",
        "SELECT a FROM t WHERE b IS NULL",
        "SELECT a FROM a_name_that_is_longer_than_a_key",
        "SELECT a FROM a_name_that_is_longer_than_a_kez",
        "SELECT /*+ NO_MERGE() */ a FROM t",
        "SELECT a FROM t; SELECT a FROM t",
        "INSERT INTO t VALUES (1, 2)",
        "INSERT INTO t VALUES (1, 2), (3, 4)",
        "INSERT INTO t VALUES (1, a)",
    ];
    let mut digests: Vec<_> = statements.into_iter().map(digest).collect();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), statements.len());
}

/// Others may keep it.
#[test]
fn a_digest_is_the_same_for_ever() {
    assert_eq!(
        digest("SELECT c FROM t WHERE id = 1").to_string(),
        "912694a57542c98c"
    );
}

#[test]
fn the_sql_mode_says_what_a_backslash_is() {
    let sql = br"SELECT 'a\', b, 'c'";
    let mode = Reading {
        backslash_escapes: false,
        is_cut: false,
    };
    assert_eq!(normalised(sql, mode), b"SELECT ?, b, ?");
    assert_eq!(normalised(sql, WHOLE), b"SELECT ? c ?");
}

#[test]
fn a_statement_that_is_cut_is_known_by_its_beginning() {
    let cut = |sql: &str| {
        let reading = Reading {
            is_cut: true,
            ..WHOLE
        };
        let text = normalised(sql.as_bytes(), reading);
        let text = String::from_utf8(text).unwrap();
        (Digest::of(sql.as_bytes(), reading), text)
    };
    let rows = "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4";
    for at in rows.find("(3").unwrap()..=rows.len() {
        let (_, text) = cut(&rows[..at]);
        assert_eq!(text, "INSERT INTO t VALUES (?, ...), ... ...");
        assert_eq!(cut(&rows[..at]).0, cut(rows).0, "{at}");
    }
    let set = "UPDATE t SET a = 'a long value";
    for at in set.find('\'').unwrap() + 1..set.len() {
        assert_eq!(cut(&set[..at]).1, "UPDATE t SET a = ...");
    }
    assert_eq!(cut("SELECT a, b FROM tab").1, "SELECT a, b FROM ...");
    assert_eq!(
        cut("INSERT INTO t VALUES ('x', 'yz").1,
        "INSERT INTO t VALUES (? ..."
    );
    assert_ne!(cut("SELECT a ").0, digest("SELECT a"));
}

/// Pieces of statements in any order, whole or not.
const PIECES: &str = r#"([ab1.e+(`'"\\/*!\n?,)#;-]|in|null|is|not|\(1\)|, ?|values|\.\.\.|/\*\+|\*/|/\*!|0x1|_b|select ){0,24}"#;

proptest! {
    #[test]
    fn any_bytes_have_a_digest(sql in proptest::collection::vec(any::<u8>(), 0..64), escapes in any::<bool>()) {
        for at in 0..=sql.len() {
            for is_cut in [false, true] {
                let reading = Reading { backslash_escapes: escapes, is_cut };
                let text = normalised(&sql[..at], reading);
                prop_assert!(text.len() <= 3 * at + 4);
                Digest::of(&sql[..at], reading);
            }
        }
    }

    #[test]
    fn what_is_normalised_stays_as_it_is(sql in PIECES) {
        let once = normalised(sql.as_bytes(), WHOLE);
        let shown = String::from_utf8_lossy(&once);
        prop_assert_eq!(Digest::of(&once, WHOLE), digest(&sql), "{}", shown);
        let twice = normalised(&once, WHOLE);
        prop_assert_eq!(String::from_utf8_lossy(&twice), shown);
    }

    #[test]
    fn strings_and_numbers_do_not_matter(text in "[a-z'\"` ?,()#*/\\\\-]{0,20}", number in any::<f64>().prop_filter("a number", |n| n.is_finite())) {
        let quoted = text.replace('\\', "\\\\").replace('\'', "''");
        let sql = format!("SELECT a FROM t WHERE b = '{quoted}' AND c > {number:e} OR d < {number}");
        prop_assert_eq!(digest(&sql), digest("SELECT a FROM t WHERE b = 'x' AND c > 1 OR d < 2"));
    }

    #[test]
    fn the_length_of_lists_does_not_matter(rows in 2..20_usize, columns in 2..10_usize) {
        let row = format!("({})", vec!["'x'"; columns].join(", "));
        let sql = format!("INSERT INTO t VALUES {}", vec![row.as_str(); rows].join(","));
        prop_assert_eq!(text(&sql), "INSERT INTO t VALUES (?, ...), ...");
        let sql = format!("SELECT a FROM t WHERE b IN ({})", vec!["1"; rows].join(","));
        prop_assert_eq!(text(&sql), "SELECT a FROM t WHERE b IN (?, ...)");
    }
}
