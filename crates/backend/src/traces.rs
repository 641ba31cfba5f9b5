//! What statements leave for later ones to ask about: the last insert id, warnings, counts, sequences. The server keeps it
//! with the connection; a client asks for its own.
//!
//! Both have traces: where they are the same, the server's answer is the client's.

/// A statement: the number of the client's session and that of its statement, both from 1.
pub type StatementId = (u64, u64);

/// Somebody's.
const FOREIGN: StatementId = (0, 0);

/// Which statement left what. `None` is a new session's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traces {
    /// Warnings, and the count of rows that it changed.
    pub statement: Option<StatementId>,
    /// The count of rows that it found.
    pub resultset: Option<StatementId>,
    /// The last insert id.
    pub insert_id: Option<StatementId>,
    /// Last values of sequences.
    pub sequence: Option<StatementId>,
}

/// What a statement has left, beside warnings and a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remains {
    /// There was a resultset.
    pub resultset: bool,
    /// There is another last insert id.
    pub insert_id: bool,
    /// There is another last value of a sequence.
    pub sequence: bool,
}

impl Traces {
    /// A statement has run.
    pub fn add(&mut self, id: StatementId, remains: Remains) {
        // Of sequences not everything is seen.
        if self.statement.is_some_and(|(session, _)| session != id.0) {
            self.sequence = Some(FOREIGN);
        }
        self.statement = Some(id);
        for (trace, is_left) in [
            (&mut self.resultset, remains.resultset),
            (&mut self.insert_id, remains.insert_id),
            (&mut self.sequence, remains.sequence),
        ] {
            if is_left {
                *trace = Some(id);
            }
        }
    }

    /// The session was reset, or is another user's: servers still know how many rows were found last.
    pub fn reset(&mut self) {
        *self = Self {
            resultset: self.resultset.map(|_| FOREIGN),
            ..Self::default()
        };
    }

    /// A statement has run that gives no warnings. It may have found rows.
    pub fn forget_warnings(&mut self) {
        self.statement = None;
        self.resultset = Some(FOREIGN);
    }

    /// The client's session, by its number, is not the last that ran a statement.
    pub fn are_anothers(&self, session: u64) -> bool {
        self.statement.is_some_and(|(of, _)| of != session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_of_the_statement_that_left_them() {
        let insert = Remains {
            insert_id: true,
            ..Remains::default()
        };
        let select = Remains {
            resultset: true,
            ..Remains::default()
        };
        let mut server = Traces::default();
        let mut client = Traces::default();
        for traces in [&mut server, &mut client] {
            traces.add((1, 1), insert);
        }
        assert_eq!(server, client);
        server.add((2, 1), select);
        assert!(server.are_anothers(1) && !server.are_anothers(2));
        assert_eq!(server.insert_id, client.insert_id);
        assert_ne!(server.statement, client.statement);
        assert_ne!(server.resultset, client.resultset);
        // A sequence may have been used by a column's default.
        assert_ne!(server.sequence, client.sequence);
        server.reset();
        assert!(!server.are_anothers(1));
        assert_eq!((server.insert_id, server.sequence), (None, None));
        assert_eq!(server.resultset, Some(FOREIGN));
    }
}
