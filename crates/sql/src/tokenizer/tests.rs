use proptest::prelude::*;

use super::*;

/// `NAME text|NAME text`, keywords without their prefix.
fn tokens(sql: &str) -> String {
    let tokens = tokenize(sql.as_bytes()).map(|token| {
        let name = token.id.name().unwrap();
        format!("{} {}", &name[3..], String::from_utf8_lossy(&token.text))
    });
    tokens.collect::<Vec<_>>().join("|")
}

#[test]
fn statements() {
    let cases = [
        ("", ""),
        (" \t\r\n\x0b\x0c", ""),
        (
            "SELECT a FROM t;",
            "SQL_SELECT SELECT|LITERAL a|SQL_FROM FROM|LITERAL t|SEMICOLON ;",
        ),
        (
            "set @a := 1, @@b=-2.5",
            "SQL_SET set|LITERAL @a|ASSIGN :=|INTEGER 1|COMMA ,|LITERAL @@b|EQ =|MINUS -|FLOAT 2.5",
        ),
        (
            "COMMIT begin Truncate",
            "LITERAL COMMIT|LITERAL begin|LITERAL Truncate",
        ),
        ("ä$b", "LITERAL ä$b"),
    ];
    for (sql, expected) in cases {
        assert_eq!(tokens(sql), expected, "{sql}");
    }
}

#[test]
fn comments() {
    let cases = [
        ("--\nx", "COMMENT |LITERAL x"),
        ("--\r\nx", "COMMENT |LITERAL x"),
        ("-- a comment \r\nx", "COMMENT a comment \r|LITERAL x"),
        ("--\ta", "COMMENT a"),
        ("-- ", "COMMENT "),
        ("--x", "MINUS -|MINUS -|LITERAL x"),
        ("--", "MINUS -|MINUS -"),
        ("/* a * b / */x", "COMMENT  a * b / |LITERAL x"),
        ("/**/x", "COMMENT |LITERAL x"),
        ("/*/ x", "COMMENT / x"),
        ("/*!40101 SET a */x", "COMMENT_MYSQL 40101 SET a |LITERAL x"),
        ("/*! x", "COMMENT_MYSQL  x"),
        ("/* x *", "COMMENT  x *"),
        ("# x", "UNKNOWN #|LITERAL x"),
    ];
    for (sql, expected) in cases {
        assert_eq!(tokens(sql), expected, "{sql}");
    }
}

#[test]
fn quotes() {
    let cases = [
        (r"'a' 'b'", "STRING a|STRING b"),
        (r"'it''s'", "STRING it's"),
        (r#""a""b""#, r#"STRING a"b"#),
        (r#"'a"`b'"#, r#"STRING a"`b"#),
        (r"'a\'b'", r"STRING a\'b"),
        (r"'a\\' x", r"STRING a\\|LITERAL x"),
        ("'a\\\nb'", "STRING a\\\nb"),
        (r"'\'''", r"STRING \''"),
        (r"'a\", r"STRING a\"),
        ("'a", "STRING a"),
        ("'", "STRING "),
        ("''", "STRING "),
        (r#"'a'"b"x"#, "STRING a|STRING b|LITERAL x"),
        (r"'a'`b` x", "STRING a|LITERAL b|LITERAL x"),
        ("`a``b`", "LITERAL a`b"),
        ("`select`", "LITERAL select"),
        (r"`a\` x", r"LITERAL a\|LITERAL x"),
        ("`a`.`b`", "LITERAL a|DOT .|LITERAL b"),
    ];
    for (sql, expected) in cases {
        assert_eq!(tokens(sql), expected, "{sql}");
    }
}

#[test]
fn numbers_and_words() {
    let cases = [
        ("1", "INTEGER 1"),
        ("1.5", "FLOAT 1.5"),
        (".5", "FLOAT .5"),
        ("1.", "INTEGER 1|DOT ."),
        ("1e", "LITERAL 1e"),
        ("1e+1e", "FLOAT 1e+1|LITERAL e"),
        ("1.5E-3", "FLOAT 1.5E-3"),
        ("1e5", "FLOAT 1e5"),
        (".1t", "FLOAT .1|LITERAL t"),
        ("0x1F", "LITERAL 0x1F"),
        ("x'1F'", "LITERAL x|STRING 1F"),
        ("t1.1t", "LITERAL t1|DOT .|LITERAL 1t"),
        ("e1.1e+1", "LITERAL e1|DOT .|LITERAL 1e|PLUS +|INTEGER 1"),
        ("e1 . 1e+1", "LITERAL e1|DOT .|FLOAT 1e+1"),
        (
            "a.b.c.d",
            "LITERAL a|DOT .|LITERAL b|DOT .|LITERAL c|DOT .|LITERAL d",
        ),
        ("select.from", "SQL_SELECT select|DOT .|SQL_FROM from"),
        ("a.*", "LITERAL a|DOT .|STAR *"),
    ];
    for (sql, expected) in cases {
        assert_eq!(tokens(sql), expected, "{sql}");
    }
}

#[test]
fn functions() {
    let cases = [
        ("COUNT(*)", "FUNCTION COUNT|OBRACE (|STAR *|CBRACE )"),
        ("if(1)", "FUNCTION if|OBRACE (|INTEGER 1|CBRACE )"),
        ("if (1)", "SQL_IF if|OBRACE (|INTEGER 1|CBRACE )"),
        ("table.f(", "SQL_TABLE table|DOT .|FUNCTION f|OBRACE ("),
        ("1e1(", "FUNCTION 1e1|OBRACE ("),
        ("1(", "INTEGER 1|OBRACE ("),
        ("f(a.b", "FUNCTION f|OBRACE (|LITERAL a|DOT .|LITERAL b"),
    ];
    for (sql, expected) in cases {
        assert_eq!(tokens(sql), expected, "{sql}");
    }
}

#[test]
fn operators() {
    assert_eq!(
        tokens("<=> << >= <> != : := & && | || ^ % ? ! ~ { \0"),
        "LE <=|GT >|LT <|LT <|GE >=|NE <>|NE !=|UNKNOWN :|ASSIGN :=|BITWISE_AND &|LOGICAL_AND &&|BITWISE_OR ||\
         LOGICAL_OR |||BITWISE_XOR ^|UNKNOWN %|UNKNOWN ?|UNKNOWN !|UNKNOWN ~|UNKNOWN {|UNKNOWN \0"
    );
}

/// What a server reads the same as the token.
fn spelled(token: &Token<'_>) -> Vec<u8> {
    let quote = |text: &[u8]| {
        let mut quoted = vec![b'`'];
        for &byte in text {
            quoted.extend(std::iter::repeat_n(byte, if byte == b'`' { 2 } else { 1 }));
        }
        quoted.push(b'`');
        quoted
    };
    match token.id {
        TokenId::LITERAL => quote(&token.text),
        _ => token.text.to_vec(),
    }
}

proptest! {
    #[test]
    fn every_text_has_tokens(sql in proptest::collection::vec(any::<u8>(), 0..64)) {
        let text: usize = tokenize(&sql).map(|token| token.text.len()).sum();
        prop_assert!(text <= sql.len());
    }

    /// Quotes, escapes and comment signs in any order.
    #[test]
    fn nothing_but_space_is_lost(sql in "[ab1.e+(`'\"\\\\ /*!\n-]{0,24}") {
        let bytes = sql.as_bytes();
        let mut tokenizer = tokenize(bytes);
        let mut at = 0;
        while let Some(token) = tokenizer.next() {
            let end = bytes.len() - tokenizer.rest.len() - tokenizer.words.len();
            prop_assert!(end > at || token.text.is_empty());
            let piece = &bytes[at..end];
            // The quotes and comment signs, the second of doubled quotes, white space before.
            prop_assert!(piece.len() >= token.text.len());
            let opening = bytes[at..end].iter().position(|&byte| !is_space(byte));
            let is_bare = !matches!(piece[opening.unwrap_or(0)], b'\'' | b'"' | b'`' | b'/' | b'-');
            prop_assert!(!is_bare || piece.ends_with(&token.text));
            at = end;
        }
        prop_assert!(bytes[at..].iter().all(|&byte| is_space(byte)));
    }

    #[test]
    fn names_are_read_back(name in proptest::collection::vec(any::<u8>(), 0..16)) {
        let token = Token { id: TokenId::LITERAL, text: Cow::Borrowed(&name), raw: b"" };
        let sql = spelled(&token);
        let token = Token { raw: &sql, ..token };
        prop_assert_eq!(tokenize(&sql).collect::<Vec<_>>(), vec![token]);
    }
}
