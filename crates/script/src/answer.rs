//! What the number that a hook returns means there.

use tracing::{error, info, warn};

use crate::Connection;

/// A hook's answer, before the response is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Go on as without a script.
    Default,
    /// `proxy.PROXY_SEND_QUERY`
    SendQuery,
    /// `proxy.PROXY_SEND_RESULT`
    SendResult,
    /// `proxy.PROXY_IGNORE_RESULT`
    IgnoreResult,
}

/// The hooks whose answers are read by rules of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    ConnectServer,
    ReadHandshake,
    ReadAuth,
    ReadAuthResult,
    ReadQuery,
    /// The query asked for its result, and has it.
    ReadQueryResult {
        is_buffered: bool,
    },
    DisconnectClient,
}

/// `number` is 0 where the hook returned nothing that reads as a number.
pub(crate) fn read(rule: Rule, number: i64, connection: &Connection) -> Answer {
    match (rule, number) {
        (Rule::DisconnectClient, _) => Answer::Default,
        (Rule::ReadQuery, number) => read_query(number, connection),
        (Rule::ReadQueryResult { is_buffered }, number) => {
            read_query_result(number, is_buffered, connection)
        }
        (Rule::ReadHandshake, 1) => {
            warn!(
                client = connection.client_name(),
                "(read_handshake) returned proxy.PROXY_SEND_QUERY, which means proxy.PROXY_SEND_RESULT here; \
                 return that instead"
            );
            Answer::SendResult
        }
        (_, 2) => Answer::SendResult,
        (Rule::ConnectServer, 4) => Answer::IgnoreResult,
        (Rule::ReadAuth, 1) if !connection.queries.is_empty() => Answer::SendQuery,
        (Rule::ConnectServer | Rule::ReadHandshake | Rule::ReadAuth | Rule::ReadAuthResult, _) => {
            Answer::Default
        }
    }
}

fn read_query(number: i64, connection: &Connection) -> Answer {
    let queue_is_empty = connection.queries.is_empty();
    match number {
        2 => return Answer::SendResult,
        1 if !queue_is_empty => return Answer::SendQuery,
        1 => error!(
            client = connection.client_name(),
            "(read_query) returned proxy.PROXY_SEND_QUERY, but proxy.queries is empty; the command is forwarded \
             as it is"
        ),
        0 => {}
        other => error!(
            client = connection.client_name(),
            "(read_query) returned {other}, which means nothing; the command is forwarded as it is"
        ),
    }
    if !queue_is_empty {
        error!(
            client = connection.client_name(),
            "(read_query) added to proxy.queries but did not return proxy.PROXY_SEND_QUERY; the queries are \
             discarded, the command is forwarded as it is"
        );
    }
    Answer::Default
}

fn read_query_result(number: i64, is_buffered: bool, connection: &Connection) -> Answer {
    match number {
        0 => Answer::Default,
        2 if is_buffered => Answer::SendResult,
        4 if is_buffered => Answer::IgnoreResult,
        other if is_buffered => {
            info!(
                client = connection.client_name(),
                "(read_query_result) returned {other}, which means nothing; the result goes to the client"
            );
            Answer::Default
        }
        other => {
            error!(
                client = connection.client_name(),
                "(read_query_result) returned {other}, but the query hasn't asked to buffer its result \
                 (resultset_is_needed = true): the client has it already"
            );
            Answer::Default
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::Injection;

    fn answer(rule: Rule, number: Option<i64>) -> Answer {
        read(rule, number.unwrap_or(0), &Connection::default())
    }

    /// With a query waiting.
    fn answer_with_query(rule: Rule, number: Option<i64>) -> Answer {
        let connection = Connection {
            queries: [Injection {
                id: 1,
                packet: b"\x03SELECT 1".to_vec(),
                resultset_is_needed: false,
                queued_at: Instant::now(),
            }]
            .into(),
            ..Connection::default()
        };
        read(rule, number.unwrap_or(0), &connection)
    }

    #[test]
    fn connect_server_answers_or_takes_what_it_selected() {
        let answer = |number| answer(Rule::ConnectServer, number);
        assert_eq!(answer(None), Answer::Default);
        assert_eq!(answer(Some(2)), Answer::SendResult);
        assert_eq!(answer(Some(4)), Answer::IgnoreResult);
        for number in [0, 1, 3, 5, -1] {
            assert_eq!(answer(Some(number)), Answer::Default, "{number}");
        }
    }

    #[test]
    fn read_handshake_answers_also_by_its_old_number() {
        let answer = |number| answer(Rule::ReadHandshake, number);
        assert_eq!(answer(Some(1)), Answer::SendResult);
        assert_eq!(answer(Some(2)), Answer::SendResult);
        for number in [None, Some(0), Some(3), Some(4)] {
            assert_eq!(answer(number), Answer::Default, "{number:?}");
        }
    }

    #[test]
    fn read_auth_replaces_the_login_by_what_is_queued() {
        assert_eq!(
            answer_with_query(Rule::ReadAuth, Some(1)),
            Answer::SendQuery
        );
        assert_eq!(answer(Rule::ReadAuth, Some(1)), Answer::Default);
        for answer in [answer, answer_with_query] {
            assert_eq!(answer(Rule::ReadAuth, Some(2)), Answer::SendResult);
            for number in [None, Some(0), Some(3), Some(4)] {
                assert_eq!(answer(Rule::ReadAuth, number), Answer::Default);
            }
        }
    }

    #[test]
    fn read_auth_result_answers() {
        let answer = |number| answer(Rule::ReadAuthResult, number);
        assert_eq!(answer(Some(2)), Answer::SendResult);
        for number in [None, Some(0), Some(1), Some(3), Some(4)] {
            assert_eq!(answer(number), Answer::Default, "{number:?}");
        }
    }

    #[test]
    fn read_query_sends_what_is_queued_or_answers() {
        assert_eq!(
            answer_with_query(Rule::ReadQuery, Some(1)),
            Answer::SendQuery
        );
        assert_eq!(answer(Rule::ReadQuery, Some(1)), Answer::Default);
        for answer in [answer, answer_with_query] {
            assert_eq!(answer(Rule::ReadQuery, Some(2)), Answer::SendResult);
            for number in [None, Some(0), Some(3), Some(4), Some(i64::MAX)] {
                assert_eq!(answer(Rule::ReadQuery, number), Answer::Default);
            }
        }
    }

    #[test]
    fn read_query_result_replaces_and_drops_only_what_is_kept() {
        let answer = |is_buffered, number| answer(Rule::ReadQueryResult { is_buffered }, number);
        assert_eq!(answer(true, Some(2)), Answer::SendResult);
        assert_eq!(answer(true, Some(4)), Answer::IgnoreResult);
        for number in [None, Some(0), Some(1), Some(3), Some(5)] {
            assert_eq!(answer(true, number), Answer::Default, "{number:?}");
        }
        for number in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
            assert_eq!(answer(false, number), Answer::Default, "{number:?}");
        }
    }

    #[test]
    fn what_disconnect_client_returns_changes_nothing() {
        for number in [None, Some(0), Some(1), Some(2), Some(4)] {
            assert_eq!(answer(Rule::DisconnectClient, number), Answer::Default);
        }
    }
}
