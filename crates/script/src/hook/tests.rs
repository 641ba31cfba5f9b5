//! What each return value means in each hook.

use std::time::Instant;

use super::*;
use crate::Injection;

fn answer(rule: Rule, number: Option<i64>) -> Answer {
    super::answer(rule, number.unwrap_or(0), &Connection::default())
}

/// With a query waiting.
fn answer_with_query(rule: Rule, number: Option<i64>) -> Answer {
    let connection = Connection {
        queries: [Injection {
            id: 1,
            packet: b"\x03SELECT 1".to_vec(),
            attributes: None,
            resultset_is_needed: false,
            queued_at: Instant::now(),
        }]
        .into(),
        ..Connection::default()
    };
    super::answer(rule, number.unwrap_or(0), &connection)
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
