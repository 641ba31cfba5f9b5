//! What the number that a hook returns means there.

use tracing::{error, info, warn};

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

/// `number` is `None` where the hook returned nothing that reads as a number.
pub(crate) fn read(rule: Rule, number: Option<i64>, queue_is_empty: bool) -> Answer {
    match (rule, number.unwrap_or(0)) {
        (Rule::DisconnectClient, _) => Answer::Default,
        (Rule::ReadQuery, number) => read_query(number, queue_is_empty),
        (Rule::ReadQueryResult { is_buffered }, number) => read_query_result(number, is_buffered),
        (Rule::ReadHandshake, 1) => {
            warn!(
                "(read_handshake) returned proxy.PROXY_SEND_QUERY, which means proxy.PROXY_SEND_RESULT here; \
                 return that instead"
            );
            Answer::SendResult
        }
        (_, 2) => Answer::SendResult,
        (Rule::ConnectServer, 4) => Answer::IgnoreResult,
        (Rule::ReadAuth, 1) if !queue_is_empty => Answer::SendQuery,
        (Rule::ConnectServer | Rule::ReadHandshake | Rule::ReadAuth | Rule::ReadAuthResult, _) => {
            Answer::Default
        }
    }
}

fn read_query(number: i64, queue_is_empty: bool) -> Answer {
    match number {
        2 => return Answer::SendResult,
        1 if !queue_is_empty => return Answer::SendQuery,
        1 => error!(
            "(read_query) returned proxy.PROXY_SEND_QUERY, but proxy.queries is empty; the command is forwarded \
             as it is"
        ),
        0 => {}
        other => error!(
            "(read_query) returned {other}, which means nothing; the command is forwarded as it is"
        ),
    }
    if !queue_is_empty {
        error!(
            "(read_query) added to proxy.queries but did not return proxy.PROXY_SEND_QUERY; the queries are \
             discarded, the command is forwarded as it is"
        );
    }
    Answer::Default
}

fn read_query_result(number: i64, is_buffered: bool) -> Answer {
    match number {
        0 => Answer::Default,
        2 if is_buffered => Answer::SendResult,
        4 if is_buffered => Answer::IgnoreResult,
        other if is_buffered => {
            info!(
                "(read_query_result) returned {other}, which means nothing; the result goes to the client"
            );
            Answer::Default
        }
        other => {
            error!(
                "(read_query_result) returned {other}, but the query hasn't asked to buffer its result \
                 (resultset_is_needed = true): the client has it already"
            );
            Answer::Default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERIES: bool = false;
    const EMPTY: bool = true;

    #[test]
    fn connect_server_answers_or_takes_what_it_selected() {
        let answer = |number| read(Rule::ConnectServer, number, EMPTY);
        assert_eq!(answer(None), Answer::Default);
        assert_eq!(answer(Some(2)), Answer::SendResult);
        assert_eq!(answer(Some(4)), Answer::IgnoreResult);
        for number in [0, 1, 3, 5, -1] {
            assert_eq!(answer(Some(number)), Answer::Default, "{number}");
        }
    }

    #[test]
    fn read_handshake_answers_also_by_its_old_number() {
        let answer = |number| read(Rule::ReadHandshake, number, EMPTY);
        assert_eq!(answer(Some(1)), Answer::SendResult);
        assert_eq!(answer(Some(2)), Answer::SendResult);
        for number in [None, Some(0), Some(3), Some(4)] {
            assert_eq!(answer(number), Answer::Default, "{number:?}");
        }
    }

    #[test]
    fn read_auth_replaces_the_login_by_what_is_queued() {
        assert_eq!(read(Rule::ReadAuth, Some(1), QUERIES), Answer::SendQuery);
        assert_eq!(read(Rule::ReadAuth, Some(1), EMPTY), Answer::Default);
        for queue in [QUERIES, EMPTY] {
            assert_eq!(read(Rule::ReadAuth, Some(2), queue), Answer::SendResult);
            for number in [None, Some(0), Some(3), Some(4)] {
                assert_eq!(read(Rule::ReadAuth, number, queue), Answer::Default);
            }
        }
    }

    #[test]
    fn read_auth_result_answers() {
        let answer = |number| read(Rule::ReadAuthResult, number, QUERIES);
        assert_eq!(answer(Some(2)), Answer::SendResult);
        for number in [None, Some(0), Some(1), Some(3), Some(4)] {
            assert_eq!(answer(number), Answer::Default, "{number:?}");
        }
    }

    #[test]
    fn read_query_sends_what_is_queued_or_answers() {
        assert_eq!(read(Rule::ReadQuery, Some(1), QUERIES), Answer::SendQuery);
        assert_eq!(read(Rule::ReadQuery, Some(1), EMPTY), Answer::Default);
        for queue in [QUERIES, EMPTY] {
            assert_eq!(read(Rule::ReadQuery, Some(2), queue), Answer::SendResult);
            for number in [None, Some(0), Some(3), Some(4), Some(i64::MAX)] {
                assert_eq!(read(Rule::ReadQuery, number, queue), Answer::Default);
            }
        }
    }

    #[test]
    fn read_query_result_replaces_and_drops_only_what_is_kept() {
        let answer =
            |is_buffered, number| read(Rule::ReadQueryResult { is_buffered }, number, EMPTY);
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
            assert_eq!(
                read(Rule::DisconnectClient, number, QUERIES),
                Answer::Default
            );
        }
    }
}
