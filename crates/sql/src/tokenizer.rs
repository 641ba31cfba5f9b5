//! From text to tokens. Where several rules fit, the longest match wins, and of equally long ones the first in this file.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::{Token, TokenId};

/// A word, a dot, a word, a dot, a word: a column of a table of a database. More words are taken one by one.
const DOTTED_WORDS_MAX: usize = 3;

/// The tokens of `sql`. White space is between them.
pub fn tokenize(sql: &[u8]) -> Tokenizer<'_> {
    Tokenizer {
        rest: sql,
        words: &[],
        last_word: TokenId::LITERAL,
    }
}

/// Reads token by token.
#[derive(Debug, Clone)]
pub struct Tokenizer<'a> {
    rest: &'a [u8],
    /// What is left of dotted words: a dot comes first.
    words: &'a [u8],
    /// What the last of them is, unless a keyword.
    last_word: TokenId,
}

impl<'a> Iterator for Tokenizer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if !self.words.is_empty() {
            return Some(self.next_of_words());
        }
        self.skip_blanks();
        let before = self.rest;
        let first = *before.first()?;
        let token = self.comment();
        let token = token.or_else(|| match first {
            b'\'' | b'"' => Some(self.quoted(first, TokenId::STRING)),
            b'`' => Some(self.quoted(first, TokenId::LITERAL)),
            _ => self.number_or_words(),
        });
        let mut token = token.unwrap_or_else(|| self.symbol());
        if self.words.is_empty() && !is_word(first) {
            token.raw = &before[..before.len() - self.rest.len()];
        }
        Some(token)
    }
}

impl<'a> Tokenizer<'a> {
    /// What is not read yet, from its first byte that is no white space. Empty between dotted words.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        if !self.words.is_empty() {
            return &[];
        }
        self.skip_blanks();
        self.rest
    }

    /// Leaves out a line, with its end.
    pub(crate) fn skip_line(&mut self) {
        let end = memchr::memchr(b'\n', self.rest);
        self.take(end.map_or(self.rest.len(), |end| end + 1));
    }

    fn skip_blanks(&mut self) {
        self.rest = &self.rest[span(self.rest, is_space)..];
    }

    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Up to the end, if nothing ends it.
    fn comment(&mut self) -> Option<Token<'a>> {
        let (opening, end, id): (usize, &[u8], _) = match self.rest {
            [b'-', b'-', b'\n', ..] | [b'-', b'-', b'\r', b'\n', ..] => {
                return Some(Token::new(TokenId::COMMENT, &self.take(2)[2..]));
            }
            [b'-', b'-', b' ' | b'\t', ..] => (3, b"\n", TokenId::COMMENT),
            [b'/', b'*', b'!', ..] => (3, b"*/", TokenId::COMMENT_MYSQL),
            [b'/', b'*', ..] => (2, b"*/", TokenId::COMMENT),
            _ => return None,
        };
        self.take(opening);
        let mut ends = self.rest.windows(end.len());
        let length = ends.position(|window| window == end);
        let text = self.take(length.unwrap_or(self.rest.len()));
        self.take(end.len());
        Some(Token::new(id, text))
    }

    /// Up to the end, if the quote is never closed. In names a backslash is a character as any other.
    fn quoted(&mut self, quote: u8, id: TokenId) -> Token<'a> {
        self.take(1);
        let mut at = 0;
        let mut doubled = 0;
        while let Some(&byte) = self.rest.get(at) {
            match byte {
                b'\\' if id == TokenId::STRING => at += 1,
                _ if byte != quote => {}
                _ if self.rest.get(at + 1) == Some(&quote) => {
                    doubled += 1;
                    at += 1;
                }
                _ => break,
            }
            at += 1;
        }
        let raw = self.take(at);
        self.take(1);
        match doubled {
            0 => Token::new(id, raw),
            _ => Token {
                id,
                text: Cow::Owned(without_doubles(raw, quote, id)),
                raw,
            },
        }
    }

    fn number_or_words(&mut self) -> Option<Token<'a>> {
        let float = float_bytes(self.rest);
        let integer = span(self.rest, |byte| byte.is_ascii_digit());
        let words = dotted_words_bytes(self.rest);
        let is_function = words > 0 && self.rest.get(words) == Some(&b'(');
        let number = float.max(integer);
        if number > 0 && number >= words + usize::from(is_function) {
            let id = match float >= integer {
                true => TokenId::FLOAT,
                false => TokenId::INTEGER,
            };
            return Some(Token::new(id, self.take(number)));
        }
        if words == 0 {
            return None;
        }
        self.last_word = match is_function {
            true => TokenId::FUNCTION,
            false => TokenId::LITERAL,
        };
        self.words = self.take(words);
        Some(self.next_of_words())
    }

    fn next_of_words(&mut self) -> Token<'a> {
        if let Some(rest) = self.words.strip_prefix(b".") {
            let (dot, _) = self.words.split_at(1);
            self.words = rest;
            return Token::new(TokenId::DOT, dot);
        }
        let (word, rest) = self.words.split_at(span(self.words, |byte| byte != b'.'));
        self.words = rest;
        let id = match rest.is_empty() && self.last_word == TokenId::FUNCTION {
            true => TokenId::FUNCTION,
            false => TokenId::keyword(word).unwrap_or(TokenId::LITERAL),
        };
        Token::new(id, word)
    }

    fn symbol(&mut self) -> Token<'a> {
        let (bytes, id) = match self.rest {
            [b'<', b'=', ..] => (2, TokenId::LE),
            [b'>', b'=', ..] => (2, TokenId::GE),
            [b'<', b'>', ..] | [b'!', b'=', ..] => (2, TokenId::NE),
            [b':', b'=', ..] => (2, TokenId::ASSIGN),
            [b'&', b'&', ..] => (2, TokenId::LOGICAL_AND),
            [b'|', b'|', ..] => (2, TokenId::LOGICAL_OR),
            [b'<', ..] => (1, TokenId::LT),
            [b'>', ..] => (1, TokenId::GT),
            [b'=', ..] => (1, TokenId::EQ),
            [b'(', ..] => (1, TokenId::OBRACE),
            [b')', ..] => (1, TokenId::CBRACE),
            [b';', ..] => (1, TokenId::SEMICOLON),
            [b'*', ..] => (1, TokenId::STAR),
            [b'+', ..] => (1, TokenId::PLUS),
            [b'/', ..] => (1, TokenId::DIV),
            [b'-', ..] => (1, TokenId::MINUS),
            [b'&', ..] => (1, TokenId::BITWISE_AND),
            [b'|', ..] => (1, TokenId::BITWISE_OR),
            [b'^', ..] => (1, TokenId::BITWISE_XOR),
            [b',', ..] => (1, TokenId::COMMA),
            [b'.', ..] => (1, TokenId::DOT),
            _ => (1, TokenId::UNKNOWN),
        };
        Token::new(id, self.take(bytes))
    }
}

impl<'a> Token<'a> {
    fn new(id: TokenId, text: &'a [u8]) -> Self {
        Self {
            id,
            text: Cow::Borrowed(text),
            raw: text,
        }
    }
}

/// How many bytes at the start are of a kind.
fn span(bytes: &[u8], is_kind: impl Fn(u8) -> bool) -> usize {
    let other = bytes.iter().position(|&byte| !is_kind(byte));
    other.unwrap_or(bytes.len())
}

pub(crate) fn is_space(byte: u8) -> bool {
    // With the vertical tab, as servers have it.
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Servers allow `$` and everything that is no ASCII in names without quotes.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@' | b'$' | 0x80..)
}

/// `[digits.]digits e [sign] digits`, or `[digits].digits`; 0 for something else.
fn float_bytes(bytes: &[u8]) -> usize {
    let digits = |at: usize| span(&bytes[at.min(bytes.len())..], |byte| byte.is_ascii_digit());
    let mut mantissa = digits(0);
    let mut length = 0;
    if bytes.get(mantissa) == Some(&b'.') && digits(mantissa + 1) > 0 {
        mantissa += 1 + digits(mantissa + 1);
        length = mantissa;
    }
    if mantissa > 0 && matches!(bytes.get(mantissa), Some(b'e' | b'E')) {
        let is_signed = matches!(bytes.get(mantissa + 1), Some(b'+' | b'-'));
        let exponent_at = mantissa + 1 + usize::from(is_signed);
        if digits(exponent_at) > 0 {
            length = exponent_at + digits(exponent_at);
        }
    }
    length
}

/// Digits may begin a word, but are none alone.
fn word_bytes(bytes: &[u8]) -> usize {
    let length = span(bytes, is_word);
    match bytes[..length].iter().all(u8::is_ascii_digit) {
        true => 0,
        false => length,
    }
}

fn dotted_words_bytes(bytes: &[u8]) -> usize {
    let mut length = word_bytes(bytes);
    for _ in 1..DOTTED_WORDS_MAX {
        if length == 0 || bytes.get(length) != Some(&b'.') {
            break;
        }
        match word_bytes(&bytes[length + 1..]) {
            0 => break,
            word => length += 1 + word,
        }
    }
    length
}

/// Escaped bytes are not looked at.
fn without_doubles(raw: &[u8], quote: u8, id: TokenId) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        text.push(byte);
        if byte == quote {
            // The second of the two.
            bytes.next();
        } else if byte == b'\\' && id == TokenId::STRING {
            text.extend(bytes.next());
        }
    }
    text
}
