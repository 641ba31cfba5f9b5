//! Tokens, and the numbers and names that scripts know them by.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A piece of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<'a> {
    /// Its kind; for a keyword, which one.
    pub id: TokenId,
    /// Without quotes and comment signs. A doubled quote is one; everything else is as it was, backslashes too.
    pub text: Cow<'a, [u8]>,
    /// As it was written, with quotes and comment signs.
    pub raw: &'a [u8],
}

/// A kind of token, as a number that never changes: scripts compare with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenId(pub u16);

/// Of the id 0 and those that follow; `TK_SQL_` is the beginning of keywords.
const NAMES: &[&str] = &[
    "TK_UNKNOWN",
    "TK_LE",
    "TK_GE",
    "TK_LT",
    "TK_GT",
    "TK_EQ",
    "TK_NE",
    "TK_STRING",
    "TK_COMMENT",
    "TK_LITERAL",
    "TK_FUNCTION",
    "TK_INTEGER",
    "TK_FLOAT",
    "TK_DOT",
    "TK_COMMA",
    "TK_ASSIGN",
    "TK_OBRACE",
    "TK_CBRACE",
    "TK_SEMICOLON",
    "TK_STAR",
    "TK_PLUS",
    "TK_MINUS",
    "TK_DIV",
    "TK_BITWISE_AND",
    "TK_BITWISE_OR",
    "TK_BITWISE_XOR",
    "TK_LOGICAL_AND",
    "TK_LOGICAL_OR",
    "TK_SQL_ACCESSIBLE",
    "TK_SQL_ACTION",
    "TK_SQL_ADD",
    "TK_SQL_ALL",
    "TK_SQL_ALTER",
    "TK_SQL_ANALYZE",
    "TK_SQL_AND",
    "TK_SQL_AS",
    "TK_SQL_ASC",
    "TK_SQL_ASENSITIVE",
    "TK_SQL_BEFORE",
    "TK_SQL_BETWEEN",
    "TK_SQL_BIGINT",
    "TK_SQL_BINARY",
    "TK_SQL_BIT",
    "TK_SQL_BLOB",
    "TK_SQL_BOTH",
    "TK_SQL_BY",
    "TK_SQL_CALL",
    "TK_SQL_CASCADE",
    "TK_SQL_CASE",
    "TK_SQL_CHANGE",
    "TK_SQL_CHAR",
    "TK_SQL_CHARACTER",
    "TK_SQL_CHECK",
    "TK_SQL_COLLATE",
    "TK_SQL_COLUMN",
    "TK_SQL_CONDITION",
    "TK_SQL_CONSTRAINT",
    "TK_SQL_CONTINUE",
    "TK_SQL_CONVERT",
    "TK_SQL_CREATE",
    "TK_SQL_CROSS",
    "TK_SQL_CURRENT_DATE",
    "TK_SQL_CURRENT_TIME",
    "TK_SQL_CURRENT_TIMESTAMP",
    "TK_SQL_CURRENT_USER",
    "TK_SQL_CURSOR",
    "TK_SQL_DATABASE",
    "TK_SQL_DATABASES",
    "TK_SQL_DATE",
    "TK_SQL_DAY_HOUR",
    "TK_SQL_DAY_MICROSECOND",
    "TK_SQL_DAY_MINUTE",
    "TK_SQL_DAY_SECOND",
    "TK_SQL_DEC",
    "TK_SQL_DECIMAL",
    "TK_SQL_DECLARE",
    "TK_SQL_DEFAULT",
    "TK_SQL_DELAYED",
    "TK_SQL_DELETE",
    "TK_SQL_DESC",
    "TK_SQL_DESCRIBE",
    "TK_SQL_DETERMINISTIC",
    "TK_SQL_DISTINCT",
    "TK_SQL_DISTINCTROW",
    "TK_SQL_DIV",
    "TK_SQL_DOUBLE",
    "TK_SQL_DROP",
    "TK_SQL_DUAL",
    "TK_SQL_EACH",
    "TK_SQL_ELSE",
    "TK_SQL_ELSEIF",
    "TK_SQL_ENCLOSED",
    "TK_SQL_ENUM",
    "TK_SQL_ESCAPED",
    "TK_SQL_EXISTS",
    "TK_SQL_EXIT",
    "TK_SQL_EXPLAIN",
    "TK_SQL_FALSE",
    "TK_SQL_FETCH",
    "TK_SQL_FLOAT",
    "TK_SQL_FLOAT4",
    "TK_SQL_FLOAT8",
    "TK_SQL_FOR",
    "TK_SQL_FORCE",
    "TK_SQL_FOREIGN",
    "TK_SQL_FROM",
    "TK_SQL_FULLTEXT",
    "TK_SQL_GRANT",
    "TK_SQL_GROUP",
    "TK_SQL_HAVING",
    "TK_SQL_HIGH_PRIORITY",
    "TK_SQL_HOUR_MICROSECOND",
    "TK_SQL_HOUR_MINUTE",
    "TK_SQL_HOUR_SECOND",
    "TK_SQL_IF",
    "TK_SQL_IGNORE",
    "TK_SQL_IN",
    "TK_SQL_INDEX",
    "TK_SQL_INFILE",
    "TK_SQL_INNER",
    "TK_SQL_INOUT",
    "TK_SQL_INSENSITIVE",
    "TK_SQL_INSERT",
    "TK_SQL_INT",
    "TK_SQL_INT1",
    "TK_SQL_INT2",
    "TK_SQL_INT3",
    "TK_SQL_INT4",
    "TK_SQL_INT8",
    "TK_SQL_INTEGER",
    "TK_SQL_INTERVAL",
    "TK_SQL_INTO",
    "TK_SQL_IS",
    "TK_SQL_ITERATE",
    "TK_SQL_JOIN",
    "TK_SQL_KEY",
    "TK_SQL_KEYS",
    "TK_SQL_KILL",
    "TK_SQL_LEADING",
    "TK_SQL_LEAVE",
    "TK_SQL_LEFT",
    "TK_SQL_LIKE",
    "TK_SQL_LIMIT",
    "TK_SQL_LINEAR",
    "TK_SQL_LINES",
    "TK_SQL_LOAD",
    "TK_SQL_LOCALTIME",
    "TK_SQL_LOCALTIMESTAMP",
    "TK_SQL_LOCK",
    "TK_SQL_LONG",
    "TK_SQL_LONGBLOB",
    "TK_SQL_LONGTEXT",
    "TK_SQL_LOOP",
    "TK_SQL_LOW_PRIORITY",
    "TK_SQL_MASTER_SSL_VERIFY_SERVER_CERT",
    "TK_SQL_MATCH",
    "TK_SQL_MEDIUMBLOB",
    "TK_SQL_MEDIUMINT",
    "TK_SQL_MEDIUMTEXT",
    "TK_SQL_MIDDLEINT",
    "TK_SQL_MINUTE_MICROSECOND",
    "TK_SQL_MINUTE_SECOND",
    "TK_SQL_MOD",
    "TK_SQL_MODIFIES",
    "TK_SQL_NATURAL",
    "TK_SQL_NO",
    "TK_SQL_NOT",
    "TK_SQL_NO_WRITE_TO_BINLOG",
    "TK_SQL_NULL",
    "TK_SQL_NUMERIC",
    "TK_SQL_ON",
    "TK_SQL_OPTIMIZE",
    "TK_SQL_OPTION",
    "TK_SQL_OPTIONALLY",
    "TK_SQL_OR",
    "TK_SQL_ORDER",
    "TK_SQL_OUT",
    "TK_SQL_OUTER",
    "TK_SQL_OUTFILE",
    "TK_SQL_PRECISION",
    "TK_SQL_PRIMARY",
    "TK_SQL_PROCEDURE",
    "TK_SQL_PURGE",
    "TK_SQL_RANGE",
    "TK_SQL_READ",
    "TK_SQL_READ_ONLY",
    "TK_SQL_READS",
    "TK_SQL_READ_WRITE",
    "TK_SQL_REAL",
    "TK_SQL_REFERENCES",
    "TK_SQL_REGEXP",
    "TK_SQL_RELEASE",
    "TK_SQL_RENAME",
    "TK_SQL_REPEAT",
    "TK_SQL_REPLACE",
    "TK_SQL_REQUIRE",
    "TK_SQL_RESTRICT",
    "TK_SQL_RETURN",
    "TK_SQL_REVOKE",
    "TK_SQL_RIGHT",
    "TK_SQL_RLIKE",
    "TK_SQL_SCHEMA",
    "TK_SQL_SCHEMAS",
    "TK_SQL_SECOND_MICROSECOND",
    "TK_SQL_SELECT",
    "TK_SQL_SENSITIVE",
    "TK_SQL_SEPARATOR",
    "TK_SQL_SET",
    "TK_SQL_SHOW",
    "TK_SQL_SMALLINT",
    "TK_SQL_SPATIAL",
    "TK_SQL_SPECIFIC",
    "TK_SQL_SQL",
    "TK_SQL_SQL_BIG_RESULT",
    "TK_SQL_SQL_CALC_FOUND_ROWS",
    "TK_SQL_SQLEXCEPTION",
    "TK_SQL_SQL_SMALL_RESULT",
    "TK_SQL_SQLSTATE",
    "TK_SQL_SQLWARNING",
    "TK_SQL_SSL",
    "TK_SQL_STARTING",
    "TK_SQL_STRAIGHT_JOIN",
    "TK_SQL_TABLE",
    "TK_SQL_TERMINATED",
    "TK_SQL_TEXT",
    "TK_SQL_THEN",
    "TK_SQL_TIME",
    "TK_SQL_TIMESTAMP",
    "TK_SQL_TINYBLOB",
    "TK_SQL_TINYINT",
    "TK_SQL_TINYTEXT",
    "TK_SQL_TO",
    "TK_SQL_TRAILING",
    "TK_SQL_TRIGGER",
    "TK_SQL_TRUE",
    "TK_SQL_UNDO",
    "TK_SQL_UNION",
    "TK_SQL_UNIQUE",
    "TK_SQL_UNLOCK",
    "TK_SQL_UNSIGNED",
    "TK_SQL_UPDATE",
    "TK_SQL_USAGE",
    "TK_SQL_USE",
    "TK_SQL_USING",
    "TK_SQL_UTC_DATE",
    "TK_SQL_UTC_TIME",
    "TK_SQL_UTC_TIMESTAMP",
    "TK_SQL_VALUES",
    "TK_SQL_VARBINARY",
    "TK_SQL_VARCHAR",
    "TK_SQL_VARCHARACTER",
    "TK_SQL_VARYING",
    "TK_SQL_WHEN",
    "TK_SQL_WHERE",
    "TK_SQL_WHILE",
    "TK_SQL_WITH",
    "TK_SQL_WRITE",
    "TK_SQL_X509",
    "TK_SQL_XOR",
    "TK_SQL_YEAR_MONTH",
    "TK_SQL_ZEROFILL",
    "TK_COMMENT_MYSQL",
];

const KEYWORD_PREFIX: &str = "TK_SQL_";

/// By their upper-case spelling.
static KEYWORDS: LazyLock<HashMap<&[u8], TokenId>> = LazyLock::new(|| {
    let names = (0..).zip(NAMES);
    let keywords = names.filter_map(|(id, name)| {
        let keyword = name.strip_prefix(KEYWORD_PREFIX)?;
        Some((keyword.as_bytes(), TokenId(id)))
    });
    keywords.collect()
});

/// No keyword is longer.
const KEYWORD_BYTES_MAX: usize = 29;

impl TokenId {
    /// A byte that is nothing else.
    pub const UNKNOWN: Self = Self(0);
    /// `<=`
    pub const LE: Self = Self(1);
    /// `>=`
    pub const GE: Self = Self(2);
    /// `<`
    pub const LT: Self = Self(3);
    /// `>`
    pub const GT: Self = Self(4);
    /// `=`
    pub const EQ: Self = Self(5);
    /// `<>`, `!=`
    pub const NE: Self = Self(6);
    /// `'text'`, `"text"`
    pub const STRING: Self = Self(7);
    /// `-- text`, `/* text */`
    pub const COMMENT: Self = Self(8);
    /// A name: `word`, `` `word` ``, `@word`.
    pub const LITERAL: Self = Self(9);
    /// A word with `(` right behind it.
    pub const FUNCTION: Self = Self(10);
    /// `17`
    pub const INTEGER: Self = Self(11);
    /// `1.7`, `.7`, `1e7`
    pub const FLOAT: Self = Self(12);
    /// `.`
    pub const DOT: Self = Self(13);
    /// `,`
    pub const COMMA: Self = Self(14);
    /// `:=`
    pub const ASSIGN: Self = Self(15);
    /// `(`
    pub const OBRACE: Self = Self(16);
    /// `)`
    pub const CBRACE: Self = Self(17);
    /// `;`
    pub const SEMICOLON: Self = Self(18);
    /// `*`
    pub const STAR: Self = Self(19);
    /// `+`
    pub const PLUS: Self = Self(20);
    /// `-`
    pub const MINUS: Self = Self(21);
    /// `/`
    pub const DIV: Self = Self(22);
    /// `&`
    pub const BITWISE_AND: Self = Self(23);
    /// `|`
    pub const BITWISE_OR: Self = Self(24);
    /// `^`
    pub const BITWISE_XOR: Self = Self(25);
    /// `&&`
    pub const LOGICAL_AND: Self = Self(26);
    /// `||`
    pub const LOGICAL_OR: Self = Self(27);
    /// `/*!40101 text */`: one token. Servers run what is in it.
    pub const COMMENT_MYSQL: Self = Self(261);

    /// `TK_LITERAL`, `TK_SQL_SELECT`. `None` for a number that is no kind.
    pub fn name(self) -> Option<&'static str> {
        NAMES.get(usize::from(self.0)).copied()
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        let ids = (0..).zip(NAMES);
        let mut found = ids.filter(|(_, of)| **of == name);
        found.next().map(|(id, _)| Self(id))
    }

    /// The keyword, in any case. `None` for other words.
    pub fn keyword(word: &[u8]) -> Option<Self> {
        let mut upper = [0; KEYWORD_BYTES_MAX];
        let upper = upper.get_mut(..word.len())?;
        upper.copy_from_slice(word);
        upper.make_ascii_uppercase();
        KEYWORDS.get(&*upper).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_the_numbers() {
        let known = [
            (0, "TK_UNKNOWN"),
            (9, "TK_LITERAL"),
            (27, "TK_LOGICAL_OR"),
            (28, "TK_SQL_ACCESSIBLE"),
            (84, "TK_SQL_DIV"),
            (154, "TK_SQL_MASTER_SSL_VERIFY_SERVER_CERT"),
            (204, "TK_SQL_SELECT"),
            (260, "TK_SQL_ZEROFILL"),
            (261, "TK_COMMENT_MYSQL"),
        ];
        for (id, name) in known {
            assert_eq!(TokenId(id).name(), Some(name));
            assert_eq!(TokenId::named(name), Some(TokenId(id)));
        }
        assert_eq!(TokenId(262).name(), None);
        assert_eq!(TokenId::named("TK_NUMBER"), None);
    }

    #[test]
    fn keywords_have_no_case() {
        assert_eq!(TokenId::keyword(b"sElEcT"), Some(TokenId(204)));
        let longest = NAMES
            .iter()
            .filter_map(|name| name.strip_prefix(KEYWORD_PREFIX));
        assert_eq!(longest.map(str::len).max(), Some(KEYWORD_BYTES_MAX));
        for word in [
            "",
            "begin",
            "selec",
            "a_word_that_is_longer_than_any_keyword",
        ] {
            assert_eq!(TokenId::keyword(word.as_bytes()), None, "{word}");
        }
    }
}
