//! SQL as text: what a statement is made of, as far as that can be said without a server.
//!
//! Pure, and total: every byte string has tokens. Knows nothing of the wire. What it reads is MySQL's dialect in its
//! default SQL mode; in others (`ANSI_QUOTES`, `NO_BACKSLASH_ESCAPES`) servers may read strings differently.

mod session_effect;
mod token;
mod tokenizer;

pub use session_effect::{SessionEffects, Setting};
pub use token::{Token, TokenId};
pub use tokenizer::{Tokenizer, tokenize};
