//! Bounds that no option changes, for the operators' documentation. Each is declared where it is kept.

use protocol::limits::{Bound, Limit};

use crate::chassis::MESSAGE_BYTES_MAX;
use crate::mysql_tokenizer::TOKENS_MAX;
use crate::object::queries::MAX_QUERIES;
use crate::response::ERRMSG_BYTES_MAX;
use crate::script_file::{MAX_SCRIPT_BYTES, TEXT_BYTES_MAX};

/// In the order of a session's life.
pub const LIMITS: &[Limit] = &[
    Limit {
        what: "A script's file",
        bound: Bound::Bytes(MAX_SCRIPT_BYTES),
        reason: "a path that leads to something else by mistake stops here",
        beyond: "it does not load, see --lua-on-load-error",
    },
    Limit {
        what: "A script's text, to tell what changed",
        bound: Bound::Bytes(TEXT_BYTES_MAX as u64),
        reason: "two of them are kept for each script and Lua state",
        beyond: "what changed is not told",
    },
    Limit {
        what: "Queries that wait in `proxy.queries`",
        bound: Bound::Number(MAX_QUERIES as u64),
        reason: "a loop that never ends stops here",
        beyond: "an error in the hook",
    },
    Limit {
        what: "The text of a script's ERR",
        bound: Bound::Bytes(ERRMSG_BYTES_MAX as u64),
        reason: "clients keep no longer one",
        beyond: "it is cut",
    },
    Limit {
        what: "A message of a script to the log",
        bound: Bound::Bytes(MESSAGE_BYTES_MAX as u64),
        reason: "a line that somebody reads",
        beyond: "it is cut",
    },
    Limit {
        what: "Tokens of `mysql.tokenizer`",
        bound: Bound::Number(TOKENS_MAX as u64),
        reason: "a text of 16 MiB has no more",
        beyond: "an error in the hook",
    },
];
