//! A text's pieces, as far as a digest tells them apart, with their keys.
//!
//! Inlined by force: without the text, most of a piece is not needed, and the compiler sees it only then. It halves the time.
//!
//! [`tokenize`](crate::tokenize) would do more than is needed for each query: it knows keywords from names, and what strings say.

use memchr::memmem;

use super::{SEED, key, mix};
use crate::tokenizer::is_space;

/// What a digest sees. Words and names come with their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A string, a number, a parameter.
    Literal,
    Word(&'a [u8], u64),
    /// In backquotes, with them.
    Name(&'a [u8], u64),
    /// `+`, `-`
    Sign(u8),
    Dot,
    Comma,
    Open,
    Close,
    /// `...`, which no statement has but one that is normalised.
    Repeated,
    /// An operator, a hint's beginning or end, a byte that is nothing else.
    Symbol(&'a [u8]),
}

/// In the highest byte of keys.
const WORD: u64 = 0x01 << 56;
const SYMBOL: u64 = 0x03 << 56;
/// Bytes that a key has room for as they are.
const SHORT: usize = 7;

/// Bytes of words in lower case; 0 for those of no word.
static FOLDED: [u8; 256] = {
    let mut folded = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let is_word = (byte as u8).is_ascii_alphanumeric()
            || matches!(byte as u8, b'_' | b'@' | b'$' | 0x80..);
        if is_word {
            folded[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    folded
};

fn folded(byte: u8) -> u8 {
    FOLDED[usize::from(byte)]
}

const fn packed(text: &[u8]) -> u64 {
    let mut packed = 0;
    let mut at = 0;
    while at < text.len() {
        packed = packed << 8 | text[at] as u64;
        at += 1;
    }
    packed
}

/// The key of a word of up to seven bytes in lower case.
pub(super) const fn short_word(text: &[u8]) -> u64 {
    assert!(text.len() <= SHORT);
    WORD | packed(text)
}

/// The key of a symbol.
pub(super) const fn symbol(text: &[u8]) -> u64 {
    SYMBOL | packed(text)
}

/// Reads piece by piece.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    sql: &'a [u8],
    at: usize,
    backslash_escapes: bool,
    /// Inside of `/*! */`, and of `/*+ */`.
    is_in_code: bool,
    is_in_hint: bool,
    /// The piece before is a word or a name, or a dot behind one.
    is_behind_name: bool,
    is_behind_dot: bool,
    /// Nothing stands between the latest piece and the one before.
    was_adjacent: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(sql: &'a [u8], backslash_escapes: bool) -> Self {
        Self {
            sql,
            at: 0,
            backslash_escapes,
            is_in_code: false,
            is_in_hint: false,
            is_behind_name: false,
            is_behind_dot: false,
            was_adjacent: false,
        }
    }

    /// Nothing is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.sql.len()
    }

    /// Nothing stands between the latest piece and the one before.
    pub(super) fn was_adjacent(&self) -> bool {
        self.was_adjacent
    }

    /// The latest word was none.
    pub(super) fn takes_for_literal(&mut self) {
        self.is_behind_name = false;
    }

    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Piece<'a>> {
        let before = self.at;
        let mut first = self.peek(0)?;
        if may_be_blank(first) {
            self.skip_blanks();
            first = self.peek(0)?;
        }
        self.was_adjacent = self.at == before;
        let piece = match first {
            b'0'..=b'9' => self.number_or_word(),
            _ if folded(first) != 0 => self.word(),
            b'\'' | b'"' => {
                self.skip_quoted(first);
                Piece::Literal
            }
            b'`' => self.name(),
            b'?' => self.one(Piece::Literal),
            b',' => self.one(Piece::Comma),
            b'(' => self.one(Piece::Open),
            b')' => self.one(Piece::Close),
            b'.' => self.dot_or_number(),
            _ => self.symbol(first),
        };
        self.is_behind_dot = self.is_behind_name && piece == Piece::Dot;
        self.is_behind_name = matches!(piece, Piece::Word(..) | Piece::Name(..));
        Some(piece)
    }

    #[inline(always)]
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.sql.get(self.at + ahead).copied()
    }

    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        &self.sql[self.at..]
    }

    #[inline(always)]
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let end = (self.at + bytes).min(self.sql.len());
        let taken = &self.sql[self.at..end];
        self.at = end;
        taken
    }

    #[inline(always)]
    fn one(&mut self, piece: Piece<'a>) -> Piece<'a> {
        self.at += 1;
        piece
    }

    /// White space, comments, and the signs of those that servers run.
    fn skip_blanks(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                _ if is_space(byte) => self.at += 1,
                b'#' => self.skip_past(b"\n"),
                b'-' if self.is_dash_comment() => self.skip_past(b"\n"),
                b'/' if self.peek(1) == Some(b'*') => match self.rest() {
                    [_, _, b'+', ..] => return,
                    [_, _, b'!', ..] => self.enter_code(3),
                    [_, _, b'M', b'!', ..] => self.enter_code(4),
                    _ => {
                        self.at += 2;
                        self.skip_past(b"*/");
                    }
                },
                b'*' if self.is_in_code && !self.is_in_hint && self.peek(1) == Some(b'/') => {
                    self.is_in_code = false;
                    self.at += 2;
                }
                _ => return,
            }
        }
    }

    fn is_dash_comment(&self) -> bool {
        let behind = self.peek(2);
        self.peek(1) == Some(b'-')
            && behind.is_none_or(|byte| is_space(byte) || byte.is_ascii_control())
    }

    fn skip_past(&mut self, end: &[u8]) {
        let found = match end {
            [byte] => memchr::memchr(*byte, self.rest()),
            _ => memmem::find(self.rest(), end),
        };
        let bytes = found.map_or(self.rest().len(), |at| at + end.len());
        self.take(bytes);
    }

    /// A version is of five digits, or of six.
    fn enter_code(&mut self, signs: usize) {
        self.is_in_code = true;
        self.take(signs);
        let digits = self.digits_from(0).min(6);
        if digits >= 5 {
            self.take(digits);
        }
    }

    fn digits_from(&self, ahead: usize) -> usize {
        let digits = self.sql[(self.at + ahead).min(self.sql.len())..].iter();
        digits.take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// A string that is never closed goes to the end.
    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        let has_escapes = self.backslash_escapes && quote != b'`';
        loop {
            let next = match has_escapes {
                true => memchr::memchr2(quote, b'\\', self.rest()),
                false => memchr::memchr(quote, self.rest()),
            };
            let Some(next) = next else {
                self.at = self.sql.len();
                return;
            };
            self.at += next;
            match (self.peek(0), self.peek(1)) {
                (Some(b'\\'), _) if has_escapes => self.take(2),
                (_, Some(byte)) if byte == quote => self.take(2),
                _ => {
                    self.at += 1;
                    return;
                }
            };
        }
    }

    fn name(&mut self) -> Piece<'a> {
        let start = self.at;
        self.skip_quoted(b'`');
        let text = &self.sql[start..self.at];
        let chunks = text.chunks(8);
        Piece::Name(
            text,
            chunks.fold(SEED, |key, chunk| mix(key, packed(chunk))),
        )
    }

    #[inline(always)]
    fn word(&mut self) -> Piece<'a> {
        let rest = self.rest();
        let (mut hash, mut chunk) = (0, 0);
        let mut length = 0;
        for &byte in rest {
            let byte = folded(byte);
            if byte == 0 {
                break;
            }
            // There is no room for one more.
            if chunk >> (8 * (SHORT - 1)) != 0 {
                hash = mix(hash, chunk);
                chunk = 0;
            }
            chunk = chunk << 8 | u64::from(byte);
            length += 1;
        }
        let text = self.take(length);
        // None other is one, and most words are longer.
        if (length == 1 || rest.first() == Some(&b'_')) && self.is_introducer(text) {
            return Piece::Literal;
        }
        let key = match length <= SHORT {
            true => WORD | chunk,
            false => mix(hash, WORD | chunk),
        };
        Piece::Word(text, key)
    }

    /// What stands before a string and belongs to it: `x'00'`, `_utf8mb4 'text'`. The string is passed over, too.
    fn is_introducer(&mut self, word: &[u8]) -> bool {
        if self.is_behind_dot {
            return false;
        }
        if matches!(word, [b'x' | b'X' | b'b' | b'B' | b'n' | b'N']) && self.peek(0) == Some(b'\'')
        {
            self.skip_quoted(b'\'');
            return true;
        }
        if word.first() != Some(&b'_') {
            return false;
        }
        let blanks = self.rest().iter().take_while(|byte| is_space(**byte));
        let blanks = blanks.count();
        match self.peek(blanks) {
            Some(quote @ (b'\'' | b'"')) => {
                self.at += blanks;
                self.skip_quoted(quote);
                true
            }
            _ => false,
        }
    }

    /// A word may begin with digits; behind a dot it may be nothing else.
    fn number_or_word(&mut self) -> Piece<'a> {
        let bytes = self.rest();
        let word = bytes.iter().take_while(|byte| folded(**byte) != 0).count();
        let number = number_bytes(bytes);
        let is_number = number >= word || is_binary(&bytes[..word]);
        if self.is_behind_dot || !is_number {
            return self.word();
        }
        self.take(number.max(word));
        Piece::Literal
    }

    fn dot_or_number(&mut self) -> Piece<'a> {
        if self.rest().starts_with(b"...") {
            self.take(3);
            return Piece::Repeated;
        }
        let is_number = self.peek(1).is_some_and(|byte| byte.is_ascii_digit());
        if !is_number || (self.is_behind_name && self.was_adjacent) {
            return self.one(Piece::Dot);
        }
        let bytes = number_bytes(self.rest());
        self.take(bytes);
        Piece::Literal
    }

    fn symbol(&mut self, first: u8) -> Piece<'a> {
        let bytes = match self.rest() {
            [b'*', b'/', ..] if self.is_in_hint => {
                self.is_in_hint = false;
                2
            }
            [b'/', b'*', b'+', ..] => {
                self.is_in_hint = true;
                3
            }
            [b'<', b'=', b'>', ..] | [b'-', b'>', b'>', ..] => 3,
            [b'<', b'=' | b'>' | b'<', ..]
            | [b'>', b'=' | b'>', ..]
            | [b'!' | b':', b'=', ..]
            | [b'&', b'&', ..]
            | [b'|', b'|', ..]
            | [b'-', b'>', ..] => 2,
            _ => 1,
        };
        let text = self.take(bytes);
        match (first, bytes) {
            (b'+' | b'-', 1) => Piece::Sign(first),
            _ => Piece::Symbol(text),
        }
    }
}

/// `digits[.digits][e[sign]digits]`, `.digits[...]`, `digits.`
fn number_bytes(bytes: &[u8]) -> usize {
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default().iter();
        rest.take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut length = digits(0);
    if bytes.get(length) == Some(&b'.') && bytes.get(length + 1) != Some(&b'.') {
        length += 1 + digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let is_signed = matches!(bytes.get(length + 1), Some(b'+' | b'-'));
        let exponent = length + 1 + usize::from(is_signed);
        if digits(exponent) > 0 {
            length = exponent + digits(exponent);
        }
    }
    length
}

/// White space, and what may begin a comment, or end one.
fn may_be_blank(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'#' | b'-' | b'/' | b'*')
}

/// `0x1F`, `0b01`
fn is_binary(word: &[u8]) -> bool {
    match word {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        [b'0', b'b' | b'B', digits @ ..] => digits.iter().all(|digit| matches!(digit, b'0' | b'1')),
        _ => false,
    }
}

const _: () = assert!(key::LITERAL > SYMBOL, "keys of pieces are none of symbols");
