//! What statements ask about those before them, and what they leave for later ones to ask. The answers are on the
//! connection that those ran on.

use bitflags::bitflags;

use super::reader::is_quoted;
use crate::{Token, TokenId};

bitflags! {
    /// Of a text. What functions and triggers ask inside is not seen.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Recall: u8 {
        /// It asks `LAST_INSERT_ID()`, `@@identity`.
        const INSERT_ID = 1;
        /// It asks `SHOW WARNINGS`, `@@error_count`.
        const WARNINGS = 1 << 1;
        /// It asks `ROW_COUNT()`.
        const ROW_COUNT = 1 << 2;
        /// It asks `FOUND_ROWS()`.
        const FOUND_ROWS = 1 << 3;
        /// It asks `LASTVAL(sequence)`, `PREVIOUS VALUE FOR sequence`.
        const SEQUENCE = 1 << 4;
        /// There may be another insert id behind it, whatever the server says: `LAST_INSERT_ID(value)`, LOAD DATA.
        const SETS_INSERT_ID = 1 << 5;
        /// There may be another insert id behind it, where its OK does not deny that: INSERT, REPLACE.
        const INSERTS = 1 << 7;
        /// It says `NEXTVAL(sequence)`, `NEXT VALUE FOR sequence`.
        const SETS_SEQUENCE = 1 << 6;
    }
}

impl Recall {
    /// What is asked of it.
    pub fn questions(self) -> Self {
        self - (Self::SETS_INSERT_ID | Self::SETS_SEQUENCE | Self::INSERTS)
    }
}

/// Reads token by token.
#[derive(Debug, Default)]
pub(super) struct Recalling {
    before: Before,
}

/// The tokens before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Before {
    #[default]
    Other,
    /// The name of a function.
    Function(Recall),
    /// `LAST_INSERT_ID (`
    InsertIdOpened,
    /// `NEXT`, `PREVIOUS`
    Value(Recall),
    /// `@@session`
    Scope,
    /// `@@session .`
    ScopeDot,
}

impl Recalling {
    pub(super) fn token(&mut self, token: &Token<'_>, comment: usize, recall: &mut Recall) {
        let name = match token.raw.starts_with(b"'") {
            true => Vec::new(),
            false => token.text.to_ascii_lowercase(),
        };
        // What stands in a comment may not be there.
        let is_opened = token.id == TokenId::OBRACE || comment > 0;
        match self.before {
            Before::Function(Recall::INSERT_ID) => {}
            Before::Function(of) if is_opened => *recall |= of,
            Before::InsertIdOpened if comment > 0 || token.id == TokenId::CBRACE => {
                *recall |= Recall::INSERT_ID;
            }
            Before::InsertIdOpened => *recall |= Recall::SETS_INSERT_ID,
            Before::Value(of) if name == b"value" => *recall |= of,
            Before::ScopeDot => *recall |= of_variable(&name),
            _ => {}
        }
        if let Some(name) = name.strip_prefix(b"@@") {
            *recall |= of_variable(name);
        }
        self.before = match name.as_slice() {
            b"last_insert_id" => Before::Function(Recall::INSERT_ID),
            b"found_rows" => Before::Function(Recall::FOUND_ROWS),
            b"row_count" => Before::Function(Recall::ROW_COUNT),
            b"lastval" => Before::Function(Recall::SEQUENCE),
            b"nextval" => Before::Function(Recall::SETS_SEQUENCE),
            b"previous" if !is_quoted(token) => Before::Value(Recall::SEQUENCE),
            b"next" if !is_quoted(token) => Before::Value(Recall::SETS_SEQUENCE),
            b"@@session" | b"@@local" => Before::Scope,
            b"." if self.before == Before::Scope => Before::ScopeDot,
            _ if is_opened && self.before == Before::Function(Recall::INSERT_ID) => {
                Before::InsertIdOpened
            }
            _ => Before::Other,
        };
    }
}

fn of_variable(name: &[u8]) -> Recall {
    match name {
        b"identity" | b"last_insert_id" => Recall::INSERT_ID,
        b"warning_count" | b"error_count" => Recall::WARNINGS,
        _ => Recall::empty(),
    }
}
