//! SQL as text: what a statement is made of, as far as that can be said without a server.
//!
//! Pure, and total: every byte string has tokens. Knows nothing of the wire. What it reads is MySQL's dialect in its
//! default SQL mode; in others (`ANSI_QUOTES`, `NO_BACKSLASH_ESCAPES`) servers may read strings differently, and what would
//! then leave something behind in a session is taken for what does.

mod digest;
mod session_effect;
mod token;
mod tokenizer;

pub use digest::{Digest, Reading, normalised};
pub use session_effect::{Pin, Recall, SessionEffects, Setting};
pub use token::{Token, TokenId};
pub use tokenizer::{Tokenizer, tokenize};
