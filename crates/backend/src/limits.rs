//! Bounds that no option changes, for the operators' documentation. Each is declared where it is kept.

use protocol::limits::{Bound, Limit};

pub use crate::backends::BACKENDS_MAX;
use crate::pool::KNOWN_USERS_MAX;
use crate::resolver::LOOKUP_TIMEOUT;

/// Different reasons for being down that are counted of one backend.
pub(crate) const DOWN_REASONS_MAX: usize = 16;

/// In the order of a session's life.
pub const LIMITS: &[Limit] = &[
    Limit {
        what: "Backends, those that were removed included",
        bound: Bound::Number(BACKENDS_MAX as u64),
        reason: "a script that adds for ever stops here",
        beyond: "ADD BACKEND is refused",
    },
    Limit {
        what: "A look-up of a backend's name",
        bound: Bound::Time(LOOKUP_TIMEOUT),
        reason: "a resolver that is silent for longer is as good as none",
        beyond: "the next backend is tried, this one is marked down",
    },
    Limit {
        what: "Users without idle connections that a pool still knows",
        bound: Bound::Number(KNOWN_USERS_MAX as u64),
        reason: "scripts see them; an account for every name has more",
        beyond: "the first ones are forgotten",
    },
    Limit {
        what: "Reasons for being down that are counted of a backend",
        bound: Bound::Number(DOWN_REASONS_MAX as u64),
        reason: "each is a value of a label",
        beyond: "further ones are counted as `other`",
    },
];
