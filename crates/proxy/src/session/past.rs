//! What a client's statements have left for later ones to ask about. The server has the answers with the connection that
//! they ran on, among those of other clients.

use backend::traces::{Remains, Traces};
use protocol::response_tracker::Summary;
use sql::Recall;

/// Of one client.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Past {
    traces: Traces,
    /// Statements so far.
    statements: u64,
    /// The last one gave warnings, or failed.
    has_warnings: bool,
}

/// What the server would say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The client's own.
    Right,
    /// Another client's insert id, where this one has none.
    AfterForgettingInsertId,
    /// Warnings of another client, where this one has none.
    AfterForgettingWarnings,
    /// What another connection would have to say: a noun phrase.
    Lost(&'static str),
}

impl Past {
    /// The client's statement has run on a connection with `server` traces.
    pub(super) fn add(
        &mut self,
        session: u64,
        (summary, recall): (&Summary, Recall),
        server: &mut Traces,
    ) {
        self.statements += 1;
        self.has_warnings = summary.is_err || summary.warnings > 0;
        // With RETURNING, and where some rows were inserted before the failure.
        let inserts = recall.contains(Recall::INSERTS) && (summary.has_resultset || summary.is_err);
        let sets_insert_id = recall.contains(Recall::SETS_INSERT_ID);
        let remains = Remains {
            resultset: summary.has_resultset,
            insert_id: inserts || sets_insert_id || summary.has_insert_id,
            sequence: recall.contains(Recall::SETS_SEQUENCE),
        };
        for traces in [&mut self.traces, server] {
            traces.add((session, self.statements), remains);
        }
    }

    /// For a statement that asks this, on a connection with these traces.
    pub(super) fn answer(&self, recall: Recall, server: &Traces) -> Answer {
        let client = &self.traces;
        for (question, is_right, what) in [
            (
                Recall::ROW_COUNT,
                client.statement == server.statement,
                "its count of rows",
            ),
            (
                Recall::FOUND_ROWS,
                client.resultset == server.resultset,
                "the rows that it found",
            ),
            (
                Recall::SEQUENCE,
                client.sequence == server.sequence,
                "its value of a sequence",
            ),
            (
                Recall::WARNINGS,
                client.statement == server.statement || !self.has_warnings,
                "its warnings",
            ),
            (
                Recall::INSERT_ID,
                client.insert_id == server.insert_id || client.insert_id.is_none(),
                "its insert id",
            ),
        ] {
            if recall.contains(question) && !is_right {
                return Answer::Lost(what);
            }
        }
        // None of its own: another's must not be there.
        if recall.contains(Recall::INSERT_ID) && client.insert_id != server.insert_id {
            return Answer::AfterForgettingInsertId;
        }
        if recall.contains(Recall::WARNINGS) && client.statement != server.statement {
            return Answer::AfterForgettingWarnings;
        }
        Answer::Right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Summary = Summary {
        first: Some(0),
        rows: 0,
        row_bytes: 0,
        affected_rows: Some(1),
        last_insert_id: Some(0),
        warnings: 0,
        statement_id: None,
        has_insert_id: false,
        has_resultset: false,
        is_err: false,
        error_code: None,
        sql_state: None,
        is_out_of_sequence: false,
    };

    #[test]
    fn a_client_without_a_past_is_told_of_none() {
        let (client, mut other) = (Past::default(), Past::default());
        let mut server = Traces::default();
        assert_eq!(client.answer(Recall::all(), &server), Answer::Right);
        let insert = Summary {
            has_insert_id: true,
            warnings: 1,
            ..OK
        };
        other.add(2, (&insert, Recall::empty()), &mut server);
        for (recall, answer) in [
            (Recall::INSERT_ID, Answer::AfterForgettingInsertId),
            (Recall::WARNINGS, Answer::AfterForgettingWarnings),
            (Recall::ROW_COUNT, Answer::Lost("its count of rows")),
            (Recall::FOUND_ROWS, Answer::Right),
        ] {
            assert_eq!(client.answer(recall, &server), answer, "{recall:?}");
            assert_eq!(other.answer(recall, &server), Answer::Right, "{recall:?}");
        }
    }

    #[test]
    fn what_ran_elsewhere_is_lost() {
        let mut client = Past::default();
        let (mut here, mut there) = (Traces::default(), Traces::default());
        let rows = Summary {
            has_resultset: true,
            ..OK
        };
        client.add(
            1,
            (&rows, Recall::SETS_INSERT_ID | Recall::SETS_SEQUENCE),
            &mut there,
        );
        let lost = |client: &Past, recall, traces: &Traces| {
            matches!(client.answer(recall, traces), Answer::Lost(_))
        };
        let all = [
            Recall::INSERT_ID,
            Recall::FOUND_ROWS,
            Recall::ROW_COUNT,
            Recall::SEQUENCE,
        ];
        for recall in all {
            assert!(lost(&client, recall, &here), "{recall:?}");
            assert!(!lost(&client, recall, &there), "{recall:?}");
        }
        // There were no warnings.
        assert_eq!(
            client.answer(Recall::WARNINGS, &here),
            Answer::AfterForgettingWarnings
        );
        let failed = Summary { is_err: true, ..OK };
        client.add(1, (&failed, Recall::empty()), &mut here);
        assert!(lost(&client, Recall::WARNINGS, &there));
        assert!(!lost(&client, Recall::WARNINGS, &here));
        // What it knows is still there.
        assert!(!lost(&client, Recall::INSERT_ID, &there));
    }
}
