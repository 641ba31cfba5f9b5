//! Splits MySQL's SQL into tokens and drops its comments; what stands in `/*! ... */` stays.

use std::str;

use super::{Code, SqlError};
use crate::limits::TOKENS_MAX;

/// A piece of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    /// Blanks or comments stand before it.
    pub(crate) is_spaced: bool,
}

/// What the piece is, with escapes resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword or a bare identifier.
    Word(String),
    /// `` `identifier` ``
    Identifier(String),
    /// `'text'` or `"text"`
    Text(Vec<u8>),
    /// `17`, `1.5e3`
    Number(String),
    /// `0xCAFE`: the digits
    Hex(String),
    /// `@@name`, `@@session.name`: what follows the signs
    SystemVariable(String),
    /// `@name`: what follows the sign
    UserVariable(String),
    /// `?`
    Parameter,
    /// `;`
    Semicolon,
    /// Any other character.
    Symbol(char),
}

impl Token {
    /// True for the word, in any case.
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(&self.kind, TokenKind::Word(text) if text.eq_ignore_ascii_case(word))
    }

    pub(crate) fn is_symbol(&self, symbol: char) -> bool {
        self.kind == TokenKind::Symbol(symbol)
    }

    /// A name, quoted or not.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.kind {
            TokenKind::Word(name) | TokenKind::Identifier(name) => Some(name),
            _ => None,
        }
    }
}

/// # Errors
/// A text without end, a character that starts nothing, or more than [`TOKENS_MAX`].
pub(crate) fn tokenize(sql: &[u8]) -> Result<Vec<Token>, SqlError> {
    let mut lexer = Lexer { rest: sql };
    let mut tokens = Vec::new();
    loop {
        let is_spaced = lexer.skip_blanks_and_comments();
        let before = lexer.rest;
        let Some(kind) = lexer.next().ok_or_else(|| SqlError::syntax(before))? else {
            return Ok(tokens);
        };
        if tokens.len() == TOKENS_MAX {
            return Err(SqlError::new(
                Code::OUT_OF_RESOURCES,
                format!("a statement has more than {TOKENS_MAX} words"),
            ));
        }
        tokens.push(Token { kind, is_spaced });
    }
}

struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    /// True when there were any.
    fn skip_blanks_and_comments(&mut self) -> bool {
        let before = self.rest.len();
        loop {
            let length = self.rest.len();
            self.take_while(|byte| byte.is_ascii_whitespace());
            match self.rest {
                [b'#', ..] | [b'-', b'-', b' ' | b'\t' | b'\n' | b'\r', ..] | [b'-', b'-'] => {
                    self.take_while(|byte| byte != b'\n');
                }
                [b'/', b'*', b'!', rest @ ..] | [b'/', b'*', b'M', b'!', rest @ ..] => {
                    self.rest = rest;
                    self.take_while(|byte| byte.is_ascii_digit());
                }
                [b'/', b'*', rest @ ..] => {
                    let end = rest.windows(2).position(|pair| pair == b"*/");
                    self.rest = end.map_or(&[], |end| &rest[end + 2..]);
                }
                // Only the end of `/*! ... */` is left to be found here.
                [b'*', b'/', rest @ ..] => self.rest = rest,
                _ if self.rest.len() == length => return length != before,
                _ => {}
            }
        }
    }

    /// `None` for what is no token; `Some(None)` at the end.
    fn next(&mut self) -> Option<Option<TokenKind>> {
        let Some((&first, tail)) = self.rest.split_first() else {
            return Some(None);
        };
        let kind = match first {
            b'\'' | b'"' => TokenKind::Text(self.quoted(first)?),
            b'`' => TokenKind::Identifier(String::from_utf8(self.quoted(first)?).ok()?),
            b'@' => self.variable()?,
            b'0' if matches!(tail, [b'x', digit, ..] if digit.is_ascii_hexdigit()) => {
                self.rest = &tail[1..];
                TokenKind::Hex(self.word()?.to_owned())
            }
            b'0'..=b'9' => TokenKind::Number(self.number()?),
            _ if is_word(first) => TokenKind::Word(self.word()?.to_owned()),
            b'?' | b';' => {
                self.rest = tail;
                match first {
                    b'?' => TokenKind::Parameter,
                    _ => TokenKind::Semicolon,
                }
            }
            b':' if tail.first() == Some(&b'=') => self.symbol(first, tail),
            b'!' | b'%'..=b'/' | b'<'..=b'>' | b'^' | b'{' | b'|' | b'}' | b'~' => {
                self.symbol(first, tail)
            }
            _ => return None,
        };
        Some(Some(kind))
    }

    fn symbol(&mut self, first: u8, tail: &'a [u8]) -> TokenKind {
        self.rest = tail;
        TokenKind::Symbol(first.into())
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !belongs(byte));
        let (head, tail) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = tail;
        head
    }

    fn word(&mut self) -> Option<&'a str> {
        str::from_utf8(self.take_while(is_word)).ok()
    }

    fn number(&mut self) -> Option<String> {
        let mut number = self
            .take_while(|byte| byte == b'.' || is_word(byte))
            .to_vec();
        let has_exponent = matches!(number.last(), Some(b'e' | b'E'));
        if has_exponent && let [sign @ (b'+' | b'-'), b'0'..=b'9', ..] = self.rest {
            number.push(*sign);
            self.rest = &self.rest[1..];
            number.extend_from_slice(self.take_while(|byte| byte.is_ascii_digit()));
        }
        String::from_utf8(number).ok()
    }

    fn variable(&mut self) -> Option<TokenKind> {
        let ascii = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let signs = self.take_while(|byte| byte == b'@').len();
        let name = match signs {
            1 => self.take_while(ascii),
            2 => self.take_while(|byte| ascii(byte) || byte == b'.'),
            _ => return None,
        };
        let name = str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
        Some(match signs {
            1 => TokenKind::UserVariable(name.to_ascii_lowercase()),
            _ => TokenKind::SystemVariable(name.to_owned()),
        })
    }

    /// Resolves doubled quotes and, but in identifiers, backslashes.
    fn quoted(&mut self, quote: u8) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut bytes = self.rest.iter().enumerate().skip(1).peekable();
        while let Some((at, &byte)) = bytes.next() {
            if byte == b'\\' && quote != b'`' {
                unescape(*bytes.next()?.1, &mut text);
            } else if byte != quote {
                text.push(byte);
            } else if bytes.next_if(|(_, next)| **next == quote).is_some() {
                text.push(quote);
            } else {
                self.rest = &self.rest[at + 1..];
                return Some(text);
            }
        }
        None
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn unescape(escaped: u8, text: &mut Vec<u8>) {
    match escaped {
        b'0' => text.push(0),
        b'b' => text.push(8),
        b'n' => text.push(b'\n'),
        b'r' => text.push(b'\r'),
        b't' => text.push(b'\t'),
        b'Z' => text.push(26),
        // LIKE resolves these itself.
        b'%' | b'_' => text.extend_from_slice(&[b'\\', escaped]),
        other => text.push(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(sql: &[u8]) -> Vec<TokenKind> {
        let tokens = tokenize(sql).unwrap();
        tokens.into_iter().map(|token| token.kind).collect()
    }

    fn text(text: &[u8]) -> TokenKind {
        TokenKind::Text(text.to_vec())
    }

    #[test]
    fn texts_and_their_escapes() {
        assert_eq!(kinds(br"'it''s'"), [text(b"it's")]);
        assert_eq!(kinds(br"'it\'s\n\0\Z\%'"), [text(b"it's\n\0\x1a\\%")]);
        assert_eq!(kinds(br#""a""b'c""#), [text(b"a\"b'c")]);
        assert_eq!(kinds(b"'\xff\xfe'"), [text(b"\xff\xfe")]);
        assert_eq!(kinds(b"`a``b\\`"), [TokenKind::Identifier("a`b\\".into())]);
    }

    #[test]
    fn comments_go_and_version_comments_stay() {
        let word = |word: &str| TokenKind::Word(word.into());
        let sql = b"a -- x\n b # y\n /* z */ /*!40101 c */ /*M! d*/ e --";
        assert_eq!(kinds(sql), ["a", "b", "c", "d", "e"].map(word));
        let minus = TokenKind::Symbol('-');
        assert_eq!(kinds(b"a--b"), [word("a"), minus.clone(), minus, word("b")]);
    }

    #[test]
    fn variables_numbers_parameters() {
        assert_eq!(
            kinds(b"@@session.autocommit @A ? 1.5e-3 0xCafe ;"),
            [
                TokenKind::SystemVariable("session.autocommit".into()),
                TokenKind::UserVariable("a".into()),
                TokenKind::Parameter,
                TokenKind::Number("1.5e-3".into()),
                TokenKind::Hex("Cafe".into()),
                TokenKind::Semicolon,
            ]
        );
    }

    #[test]
    fn what_starts_nothing_is_a_syntax_error() {
        for sql in [
            &b"'open"[..],
            b"`open",
            b"'\\",
            b"$1",
            b":name",
            b"@",
            b"@@@x",
            b"a\0b",
            b"\xffx",
            b"[x]",
        ] {
            assert_eq!(tokenize(sql).unwrap_err().code, Code::SYNTAX, "{sql:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(sql: Vec<u8>) {
            let _ = tokenize(&sql);
        }
    }
}
