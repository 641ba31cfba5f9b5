//! Tokens as servers run them: without comments, and with what stands in those that they execute.
//!
//! Whether an executed comment is executed depends on the server's version, which is not known here: a token says which
//! comment it is from. A comment that would end elsewhere if it were executed is `Piece::Ambiguous`. So is a text in
//! double quotes that would end elsewhere if it were a name, as with ANSI_QUOTES: a server's own setting may be that. So
//! is what takes a byte beyond ASCII for a blank, as latin1 has one (0xa0), and MySQL's `$$...$$`.

use super::is_telling;
use crate::tokenizer::is_space;
use crate::{Token, TokenId, Tokenizer, tokenize};

#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// A token, and the number of the executed comment that it is in; 0 if in none.
    Token(Token<'a>, usize),
    /// Where it ends depends on the server.
    Ambiguous,
}

pub(super) struct Reader<'a> {
    text: Tokenizer<'a>,
    /// Of an executed comment.
    inner: Option<Tokenizer<'a>>,
    comments: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text: tokenize(text),
            inner: None,
            comments: 0,
        }
    }

    fn next_inner(&mut self) -> Option<Piece<'a>> {
        let inner = self.inner.as_mut()?;
        let rest = inner.rest();
        if is_line_comment(rest) || may_be_line_comment(rest) || rest.starts_with(b"/*") {
            self.inner = None;
            return Some(Piece::Ambiguous);
        }
        let Some(token) = inner.next() else {
            self.inner = None;
            return None;
        };
        let is_last = inner.clone().next().is_none();
        let is_unclosed = is_last && is_quoted(&token) && !is_surely_closed(token.raw);
        if is_unclosed || is_ambiguous(&token) {
            return Some(Piece::Ambiguous);
        }
        Some(Piece::Token(token, self.comments))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            if let Some(piece) = self.next_inner() {
                return Some(piece);
            }
            if is_line_comment(self.text.rest()) {
                self.text.skip_line();
                continue;
            }
            let may_be_comment = may_be_line_comment(self.text.rest());
            let token = self.text.next()?;
            if may_be_comment || is_ambiguous(&token) {
                return Some(Piece::Ambiguous);
            }
            if token.id != TokenId::COMMENT && token.id != TokenId::COMMENT_MYSQL {
                return Some(Piece::Token(token, 0));
            }
            if let Some(executed) = executed_text(token.raw) {
                self.inner = Some(tokenize(executed));
                self.comments += 1;
            }
        }
    }
}

/// Servers take any white space or control character behind `--`, and the end of the text.
fn is_line_comment(text: &[u8]) -> bool {
    match text {
        [b'#', ..] | [b'-', b'-'] => true,
        [b'-', b'-', next, ..] => is_space(*next) || next.is_ascii_control(),
        _ => false,
    }
}

/// What stands in `/*! ... */` and `/*M! ... */`, behind the version number.
fn executed_text(comment: &[u8]) -> Option<&[u8]> {
    let text = comment.strip_prefix(b"/*")?;
    let text = text.strip_prefix(b"M").unwrap_or(text);
    let text = text.strip_prefix(b"!")?;
    let text = text.strip_suffix(b"*/").unwrap_or(text);
    let text = text.trim_ascii_start();
    let digits = text.iter().take(6).take_while(|byte| byte.is_ascii_digit());
    match digits.count() {
        version @ 5.. => Some(&text[version..]),
        _ => Some(text),
    }
}

/// The byte may be a blank, or a control character.
fn may_be_line_comment(text: &[u8]) -> bool {
    matches!(text, [b'-', b'-', 0x80..=0xff, ..])
}

fn is_ambiguous(token: &Token<'_>) -> bool {
    match token.raw.first() {
        // In names a backslash escapes nothing.
        Some(b'"') => memchr::memmem::find(token.raw, b"\\\"").is_some(),
        Some(b'\'' | b'`') => false,
        // A text up to the next `$$`.
        Some(b'$') => true,
        // It may be several words.
        _ => !token.raw.is_ascii() && token.raw.split(|byte| !byte.is_ascii()).any(is_telling),
    }
}

pub(super) fn is_quoted(token: &Token<'_>) -> bool {
    matches!(token.raw, [b'\'' | b'"' | b'`', ..])
}

/// Whatever the SQL mode says of backslashes.
pub(super) fn is_surely_closed(raw: &[u8]) -> bool {
    let quotes = raw.iter().filter(|&&byte| byte == raw[0]).count();
    quotes.is_multiple_of(2) && (raw[0] == b'`' || !raw.contains(&b'\\'))
}
